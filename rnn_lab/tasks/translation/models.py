"""Translators: the configurable one, and the named architectures."""

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable

from rnn_lab.core.options import as_options
from rnn_lab.nn import BEAM_SEARCH, GenerationConfig, ScheduledSampling, Seq2SeqDropouts
from rnn_lab.tasks.translation.base import BaseTranslator
from rnn_lab.tasks.translation.options import DecoderConfig, EncoderConfig


class Translator(BaseTranslator):
    """Translator with any recurrent layer, attention before, between or after layers, or none.

    Args:
        src_vocab_size: Number of tokens in the source vocabulary.
        trg_vocab_size: Number of tokens in the target vocabulary.
        embedding_dim: Size of a token embedding.
        hidden_dim: Size of the decoder's hidden state and of the attention's hidden layer.
        num_layers: Number of stacked recurrent layers.
        layer: `RNN`, `LSTM` or `GRU`; `encoder.layer` may be any other.
        encoder: Options of the encoder.
        decoder: Options of the decoder: attention, output layer and initial state.
        dropouts: Dropout probabilities.
        scheduled_sampling: Teacher-forcing ratio in training.
        label_smoothing: Label smoothing epsilon, in training.
        search: Options of decoding in test and prediction.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Raises:
        UserError: If arguments are out of range or contradict each other, or a size is missing.
    """

    layer: str = "LSTM"

    def __init__(  # noqa: PLR0913  # 12 options, optimizer and scheduler
        self,
        src_vocab_size: int,
        trg_vocab_size: int,
        embedding_dim: int = 256,
        hidden_dim: int = 512,
        num_layers: int = 2,
        *,
        layer: str = "LSTM",
        encoder: EncoderConfig = BaseTranslator.encoder,
        decoder: DecoderConfig = BaseTranslator.decoder,
        dropouts: Seq2SeqDropouts = BaseTranslator.dropouts,
        scheduled_sampling: ScheduledSampling = BaseTranslator.scheduled_sampling,
        label_smoothing: float = 0.0,
        search: GenerationConfig = BEAM_SEARCH,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        self.layer, self.label_smoothing = layer, label_smoothing
        self.encoder = as_options(EncoderConfig, encoder)
        self.decoder = as_options(DecoderConfig, decoder)
        self.dropouts = as_options(Seq2SeqDropouts, dropouts)
        self.scheduled_sampling = as_options(ScheduledSampling, scheduled_sampling)
        sizes = src_vocab_size, trg_vocab_size, embedding_dim, hidden_dim, num_layers
        super().__init__(*sizes, search=search, optimizer=optimizer, scheduler=scheduler)


class Seq2SeqTranslator(BaseTranslator):
    """Translator without attention: the decoder starts from the encoder's final state.

    Source: Sutskever et al. (2014), https://arxiv.org/abs/1409.3215.
    """

    layer = "LSTM"
    encoder, decoder = EncoderConfig(bidirectional=False), DecoderConfig(attention_position="none")


class AttentionTranslator(BaseTranslator):
    """Translator with a bidirectional encoder and attention between the decoder's layers.

    Source: Bahdanau et al. (2015), https://arxiv.org/abs/1409.0473; Wu et al. (2016),
    https://arxiv.org/abs/1609.08144, for the position of the attention.
    """

    layer, decoder = "LSTM", DecoderConfig(attention_position="between")
