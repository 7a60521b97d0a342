"""A Transformer for translation."""

from typing import Literal

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable

from rnn_lab.core.options import as_options
from rnn_lab.core.task import check_sizes
from rnn_lab.errors import UserError
from rnn_lab.nn import BEAM_SEARCH, GenerationConfig, Seq2SeqDropouts
from rnn_lab.nn.seq2seq.transformer import SourceEncoder, TransformerDecoder, TransformerSeq2Seq
from rnn_lab.nn.transformer import TransformerOptions
from rnn_lab.tasks.translation.task import NEEDS_JOINT_VOCABULARY, TranslationTask

DROPOUTS = Seq2SeqDropouts(layer=0.1, input=0.1, encoder_output=0.0, output=0.0)


class TransformerTranslator(TranslationTask):
    """Translator with a Transformer encoder and decoder: attention in place of recurrence.

    Attention maps show the last layer of the decoder, the mean over its heads.

    Source: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762.

    Args:
        src_vocab_size: Number of tokens in the source vocabulary.
        trg_vocab_size: Number of tokens in the target vocabulary.
        hidden_dim: Size of a token embedding, and features of each layer.
        num_layers: Number of stacked layers of the encoder, and of the decoder.
        tie_embeddings: Embeddings that share the weights of the output layer: `none`, `decoder`,
            or `all` (the encoder's too, which needs a joint vocabulary).
        transformer: Options of the layers.
        dropouts: Dropout probabilities.
        label_smoothing: Label smoothing epsilon, in training.
        search: Options of decoding in test and prediction.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Raises:
        UserError: If arguments are out of range or contradict each other, or a size is missing.
    """

    def __init__(
        self,
        src_vocab_size: int,
        trg_vocab_size: int,
        hidden_dim: int = 256,
        num_layers: int = 3,
        *,
        tie_embeddings: Literal["none", "decoder", "all"] = "decoder",
        transformer: TransformerOptions | None = None,
        dropouts: Seq2SeqDropouts = DROPOUTS,
        label_smoothing: float = 0.0,
        search: GenerationConfig = BEAM_SEARCH,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        self.label_smoothing = label_smoothing
        super().__init__(search=search, optimizer=optimizer, scheduler=scheduler)
        sizes = {"src_vocab_size": src_vocab_size, "trg_vocab_size": trg_vocab_size}
        check_sizes(self, **sizes, hidden_dim=hidden_dim, num_layers=num_layers)
        self.joint_vocabulary = tie_embeddings == "all"
        if self.joint_vocabulary and src_vocab_size != trg_vocab_size:
            raise UserError(NEEDS_JOINT_VOCABULARY)
        options = as_options(TransformerOptions, transformer)
        dropouts = as_options(Seq2SeqDropouts, dropouts)
        shape = hidden_dim, num_layers, options, dropouts
        try:
            self.net = self._build(src_vocab_size, trg_vocab_size, *shape)
        except ValueError as error:
            raise UserError(str(error)) from error
        if tie_embeddings != "none":
            self.net.tie_embeddings(encoder=self.joint_vocabulary)

    def _build(
        self,
        src_vocab_size: int,
        trg_vocab_size: int,
        hidden_dim: int,
        num_layers: int,
        options: TransformerOptions,
        dropouts: Seq2SeqDropouts,
    ) -> TransformerSeq2Seq:
        shape = hidden_dim, num_layers, options, dropouts
        encoder = SourceEncoder(src_vocab_size, *shape)
        return TransformerSeq2Seq(encoder, TransformerDecoder(trg_vocab_size, *shape))
