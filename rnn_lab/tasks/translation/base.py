"""The code that all recurrent translators share."""

from abc import abstractmethod
from typing import Any

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable

from rnn_lab.core.task import check_sizes
from rnn_lab.errors import UserError
from rnn_lab.nn import (
    BEAM_SEARCH,
    AttentionDecoder,
    Decoder,
    Encoder,
    GenerationConfig,
    GNMTDecoder,
    InputFeedingDecoder,
    LuongDecoder,
    Seq2Seq,
    Seq2SeqDropouts,
)
from rnn_lab.tasks.translation.options import DecoderConfig, EncoderConfig
from rnn_lab.tasks.translation.task import NEEDS_JOINT_VOCABULARY, TranslationTask

DECODERS: dict[str, type[Decoder]] = {
    "none": Decoder,
    "before": AttentionDecoder,
    "between": GNMTDecoder,
    "after": LuongDecoder,
}


class BaseTranslator(TranslationTask):
    """Recurrent encoder-decoder model for translation.

    An architecture is defined by class attributes; `Translator` takes all of them as arguments.

    Args:
        src_vocab_size: Number of tokens in the source vocabulary.
        trg_vocab_size: Number of tokens in the target vocabulary.
        embedding_dim: Size of a token embedding.
        hidden_dim: Size of the decoder's hidden state and of the attention's hidden layer.
        num_layers: Number of stacked recurrent layers.
        search: Options of decoding in test and prediction.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Attributes:
        layer: `RNN`, `LSTM` or `GRU`.
        encoder: Options of the encoder.
        decoder: Options of the decoder.
        dropouts: Dropout probabilities.

    Raises:
        UserError: If arguments are out of range or contradict each other, or a size is missing.
    """

    encoder: EncoderConfig = EncoderConfig()
    decoder: DecoderConfig = DecoderConfig()
    dropouts: Seq2SeqDropouts = Seq2SeqDropouts()

    def __init__(
        self,
        src_vocab_size: int,
        trg_vocab_size: int,
        embedding_dim: int = 256,
        hidden_dim: int = 512,
        num_layers: int = 2,
        *,
        search: GenerationConfig = BEAM_SEARCH,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(search=search, optimizer=optimizer, scheduler=scheduler)
        self.joint_vocabulary = self.decoder.tie_embeddings == "all"
        check_sizes(
            self,
            src_vocab_size=src_vocab_size,
            trg_vocab_size=trg_vocab_size,
            embedding_dim=embedding_dim,
            hidden_dim=hidden_dim,
            num_layers=num_layers,
        )
        self._check_options(hidden_dim)
        if self.joint_vocabulary and src_vocab_size != trg_vocab_size:
            raise UserError(NEEDS_JOINT_VOCABULARY)
        try:
            self.net = self._build(
                src_vocab_size, trg_vocab_size, embedding_dim, hidden_dim, num_layers
            )
        except ValueError as error:
            raise UserError(str(error)) from error

    @property
    @abstractmethod
    def layer(self) -> str:
        """Recurrent layer by its name: `RNN`, `LSTM` or `GRU`."""

    def _check_options(self, hidden_dim: int) -> None:
        """Refuse options that are out of range or contradict each other."""
        optional = {
            "encoder.num_layers": self.encoder.num_layers,
            "encoder.hidden_dim": self.encoder.hidden_dim,
            "decoder.readout_dim": self.decoder.readout_dim,
        }
        check_sizes(self, **{name: size for name, size in optional.items() if size is not None})
        if self.encoder.bidirectional and self.encoder.hidden_dim is None and hidden_dim < 2:
            raise UserError(
                f"hidden_dim must be at least 2 with a bidirectional encoder, got {hidden_dim}"
            )
        position = self.decoder.attention_position
        if self.decoder.input_feeding and position != "after":
            raise UserError(
                f"decoder.input_feeding needs decoder.attention_position=after, got {position}"
            )
        if self.search.coverage_penalty and position == "none":
            raise UserError(
                "search.coverage_penalty needs attention: set decoder.attention_position"
            )

    def _build(
        self,
        src_vocab_size: int,
        trg_vocab_size: int,
        embedding_dim: int,
        hidden_dim: int,
        num_layers: int,
    ) -> Seq2Seq:
        source, target = self.encoder, self.decoder
        encoder = Encoder(
            src_vocab_size,
            embedding_dim,
            source.hidden_dim or (hidden_dim // 2 if source.bidirectional else hidden_dim),
            source.num_layers or num_layers,
            layer=source.layer or self.layer,
            layer_kwargs=source.layer_kwargs,
            bidirectional=source.bidirectional,
            layer_norm=source.layer_norm,
            dropouts=self.dropouts,
        )
        attention: dict[str, Any] = {}
        if target.attention_position != "none":
            attention = {"memory_size": encoder.output_size, "attention": target.attention}
        tied = target.tie_embeddings != "none"
        decoder_class = DECODERS[target.attention_position]
        decoder = (InputFeedingDecoder if target.input_feeding else decoder_class)(
            trg_vocab_size,
            embedding_dim,
            hidden_dim,
            num_layers,
            layer=self.layer,
            readout_dim=target.readout_dim or (embedding_dim if tied else None),
            layer_norm=target.layer_norm,
            dropouts=self.dropouts,
            **attention,
        )
        net = Seq2Seq(encoder, decoder, bridge=target.bridge)
        if tied:
            net.tie_embeddings(encoder=target.tie_embeddings == "all")
        return net
