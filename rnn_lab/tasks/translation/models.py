"""Translators: one family for every place of attention, and the architectures that fix it."""

from typing import Any, Literal

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from rnn_lab.core.task import StepOutput, Task, check_sizes
from rnn_lab.errors import UserError
from rnn_lab.nn import (
    AttentionDecoder,
    Decoder,
    Encoder,
    GenerationConfig,
    GNMTDecoder,
    Hypothesis,
    LuongDecoder,
    ScheduledSampling,
    Seq2Seq,
)
from rnn_lab.nn.seq2seq.scoring import score_references
from rnn_lab.tasks.translation.batch import PairBatch
from rnn_lab.tasks.translation.metrics import TranslationScores
from rnn_lab.tasks.translation.reports import TranslationReport

GREEDY = GenerationConfig()
JOINT = (
    "needs one vocabulary of both languages, and the data has two: give --data.joint=true, or "
    "--model.tied=two-way"
)
DECODERS: dict[str, type[Decoder]] = {
    "none": Decoder,
    "before": AttentionDecoder,
    "between": GNMTDecoder,
    "after": LuongDecoder,
}


class Translator(Task):
    """Translate sentences: an encoder, a decoder, and any place for attention between them.

    The family of all translators, for comparisons and sweeps; the named architectures below fix
    most of its arguments. Validation translates greedily, the test by beam search. `loss` and
    `perplexity` are of words that are scored after the true ones before them; all other measures
    are of what the model writes by itself.

    Args:
        src_vocab_size: Words in the vocabulary of the source.
        trg_vocab_size: Words in the vocabulary of the target.
        embedding_dim: Features of a word.
        hidden_dim: Features of a step of the decoder, and width of the attention.
        num_layers: Recurrent layers of the decoder.
        attention_position: Where the decoder looks at the source: `between` its layers (fastest),
            `before` them, `after` them, or `none`.
        attention: `additive`, `scaled_dot` or `general`.
        input_feeding: With attention after the layers, whether what it gives is read next.
        layer: `RNN`, `LSTM` or `GRU`, of the decoder, and of the encoder unless that has its own.
        encoder_layer: Any recurrent layer by its name in `rnn_lab.nn.LAYERS`; None: `layer`.
        encoder_kwargs: What the encoder's layer takes by name beside its sizes, such as `zoneout`.
        encoder_layers: Recurrent layers of the encoder; None: `num_layers`.
        encoder_dim: Features of a step of the source in each direction; None: `hidden_dim`, shared
            between the directions.
        bidirectional: Whether the encoder also reads backwards.
        bridge: How the decoder's first state is made of the encoder's last: `linear`, `pass` or
            `zero`; None is `pass` where the widths are equal, else `linear`.
        readout_dim: Features of a layer between all that is known at a step and the scores of the
            words; None: `embedding_dim` with tied embeddings, else as the position has it.
        tied: Which word vectors are the same: `none`, `two-way` (those the decoder reads and
            those it scores by) or `three-way` (the encoder's, too; needs a joint vocabulary).
        layer_dropout: Dropout between recurrent layers.
        input_dropout: Dropout of the words' features.
        encoder_output_dropout: Dropout of the encoder's output.
        output_dropout: Dropout before the scores of the words.
        embedding_dropout: Share of the vocabulary dropped whole, drawn for each batch.
        locked: Whether a row's dropout of features is the same at all its steps.
        layer_norm: Whether word vectors, encoder's output and read-out are normalized.
        label_smoothing: Share of each target that is spread evenly, in training.
        teacher_forcing_ratio: How often the decoder is shown the true last word in training, drawn
            for each row and step; at one whole sequences are read at once.
        teacher_forcing_schedule: How that falls over the training steps: `constant`, `linear` or
            `inverse_sigmoid`.
        teacher_forcing_final: What it falls to.
        teacher_forcing_steps: In how many steps, see `ScheduledSampling`.
        beam_size: Width of the beam in test and prediction; 1 is greedy.
        length_penalty: Exponent of the length that scores are divided by, see `beam_search`.
        coverage_penalty: Weight of what a score loses for words that were hardly looked at.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Raises:
        UserError: If arguments have no meaning, do not fit together, or a size is not given.
    """

    batch_type = PairBatch
    predictor = "rnn_lab.tasks.translation.predictor.TranslationPredictor"
    monitor, mode = "val/bleu", "max"

    def __init__(
        self,
        src_vocab_size: int,
        trg_vocab_size: int,
        embedding_dim: int = 256,
        hidden_dim: int = 512,
        num_layers: int = 2,
        *,
        attention_position: Literal["none", "before", "between", "after"] = "between",
        attention: Literal["additive", "scaled_dot", "general"] = "additive",
        input_feeding: bool = False,
        layer: str = "LSTM",
        encoder_layer: str | None = None,
        encoder_kwargs: dict[str, Any] | None = None,
        encoder_layers: int | None = None,
        encoder_dim: int | None = None,
        bidirectional: bool = True,
        bridge: Literal["linear", "pass", "zero"] | None = None,
        readout_dim: int | None = None,
        tied: Literal["none", "two-way", "three-way"] = "none",
        layer_dropout: float = 0.2,
        input_dropout: float = 0.2,
        encoder_output_dropout: float = 0.2,
        output_dropout: float = 0.2,
        embedding_dropout: float = 0.0,
        locked: bool = False,
        layer_norm: bool = False,
        label_smoothing: float = 0.0,
        teacher_forcing_ratio: float = 1.0,
        teacher_forcing_schedule: Literal["constant", "linear", "inverse_sigmoid"] = "constant",
        teacher_forcing_final: float = 0.0,
        teacher_forcing_steps: int = 10_000,
        beam_size: int = 5,
        length_penalty: float = 1.0,
        coverage_penalty: float = 0.0,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        optional = {
            "encoder_layers": encoder_layers,
            "encoder_dim": encoder_dim,
            "readout_dim": readout_dim,
        }
        check_sizes(
            self,
            src_vocab_size=src_vocab_size,
            trg_vocab_size=trg_vocab_size,
            embedding_dim=embedding_dim,
            hidden_dim=hidden_dim,
            num_layers=num_layers,
            **{name: size for name, size in optional.items() if size is not None},
        )
        if bidirectional and encoder_dim is None and hidden_dim < 2:
            raise UserError(f"hidden_dim is shared by two directions: at least 2, got {hidden_dim}")
        if not 0 <= label_smoothing < 1:
            raise UserError(f"label_smoothing must be 0 to below 1, got {label_smoothing}")
        if not 0 <= layer_dropout < 1:
            raise UserError(f"layer_dropout must be 0 to below 1, got {layer_dropout}")
        if tied == "three-way" and src_vocab_size != trg_vocab_size:
            raise UserError(f"tied=three-way {JOINT}")
        if input_feeding and attention_position != "after":
            raise UserError(
                f"input_feeding goes with attention_position=after, got {attention_position}"
            )
        if coverage_penalty and attention_position == "none":
            raise UserError("coverage_penalty needs attention: give an attention_position")
        self.label_smoothing = label_smoothing
        self.tied = tied
        self.partners: list[Translator] = []  # whose probabilities count, too, in decoding
        self.reader: Any = None  # reads and writes the text of the data
        words: dict[str, Any] = {
            "dropout": layer_dropout,
            "input_dropout": input_dropout,
            "embedding_dropout": embedding_dropout,
            "locked": locked,
            "layer_norm": layer_norm,
        }
        try:
            self.strategy = GenerationConfig(beam_size, length_penalty, coverage_penalty).checked()
            self.forcing = ScheduledSampling(
                teacher_forcing_schedule,
                teacher_forcing_ratio,
                teacher_forcing_final,
                teacher_forcing_steps,
            )
            encoder = Encoder(
                src_vocab_size,
                embedding_dim,
                encoder_dim or (hidden_dim // 2 if bidirectional else hidden_dim),
                encoder_layers or num_layers,
                layer=encoder_layer or layer,
                options=encoder_kwargs,
                bidirectional=bidirectional,
                output_dropout=encoder_output_dropout,
                **words,
            )
            looking: dict[str, Any] = {}
            if attention_position != "none":
                looking = {"memory_size": encoder.output_size, "attention": attention}
            if attention_position == "after":
                looking["input_feeding"] = input_feeding
            decoder = DECODERS[attention_position](
                trg_vocab_size,
                embedding_dim,
                hidden_dim,
                num_layers,
                layer=layer,
                readout_dim=readout_dim or (embedding_dim if tied != "none" else None),
                output_dropout=output_dropout,
                **looking,
                **words,
            )
            self.net = Seq2Seq(encoder, decoder, bridge=bridge)
            if tied != "none":
                self.net.tie(source=tied == "three-way")
        except ValueError as error:
            raise UserError(str(error)) from error

    def forward(
        self,
        src: Tensor,
        trg: Tensor,
        teacher_forcing_ratio: float = 0.5,
        src_lengths: Tensor | None = None,
    ) -> Tensor:
        """Score every word of a target as the textbook does, see `Seq2Seq.forward`."""
        return self.net(src, trg, teacher_forcing_ratio, src_lengths)

    def step(self, batch: PairBatch) -> StepOutput:
        """Take the loss of a batch; in evaluation also translate it, both in full precision."""
        words = int(batch.trg_lengths.sum()) - len(batch.trg)
        if self.training:
            ratio = self.forcing.at(self.trainer.global_step if self._trainer else 0)
            loss = self._loss(batch, ratio, self.label_smoothing)
            return StepOutput(loss, (), batch.references, words)
        with torch.autocast(self.device.type, enabled=False):
            testing = self._trainer is not None and self.trainer.testing
            written = self.translate(batch, self.strategy if testing else GREEDY)
            loss = self._joint_loss(batch, words) if self.partners else self._loss(batch)
            return StepOutput(loss, written, batch.references, words)

    def _loss(self, batch: PairBatch, ratio: float = 1.0, smoothing: float = 0.0) -> Tensor:
        return self.net.loss(batch.src, batch.trg, ratio, batch.src_lengths, smoothing)

    def _joint_loss(self, batch: PairBatch, words: int) -> Tensor:
        """The loss of an ensemble: of the mean of all probabilities."""
        scored = score_references(
            self.nets(), batch.src, batch.trg, batch.src_lengths, batch.trg_lengths
        )
        return torch.tensor(-sum(each.logprob for each in scored) / words, device=self.device)

    def translate(self, batch: PairBatch, strategy: GenerationConfig) -> list[str]:
        """Write the best translation of each source, normalized as the reader has it.

        A source without a word has an empty translation.
        """
        writer = self._known_reader().target
        found = self.decode(batch.src, batch.src_lengths, strategy)
        sizes = batch.src_lengths.tolist()
        return [
            writer.joined(best.tokens) if size > 1 else ""
            for (best, *_), size in zip(found, sizes, strict=True)
        ]

    def decode(
        self,
        src: Tensor,
        lengths: Tensor,
        strategy: GenerationConfig | None = None,
        *,
        attention: bool = False,
        generator: torch.Generator | None = None,
    ) -> list[list[Hypothesis]]:
        """Look for translations, together with the partners of an ensemble.

        A translation has at most twice the words of its source, and twenty more.

        Args:
            src: Word ids, `(batch, src_len)`.
            lengths: Real words of each source, `(batch,)` on the CPU.
            strategy: How to look; None is the beam that the constructor was told of.
            attention: Whether to keep where the model looked.
            generator: Where chance comes from, with sampling.
        """
        limits = 2 * lengths + 20
        return (strategy or self.strategy).decode(
            self.nets(), src, lengths, limits, attention=attention, generator=generator
        )

    def nets(self) -> list[Seq2Seq]:
        """What translates: this model's net, and those of the partners of an ensemble."""
        return [self.net, *(partner.to(self.device).net for partner in self.partners)]

    def attend(self, batch: PairBatch) -> list[tuple[list[str], list[str], Tensor]]:
        """Show where beam search looked: words read, words written, weights of each sentence.

        Returns:
            For each sentence the words of the source, those of the translation, their ends
            included, and the weights `(written, read)`; nothing for a model without attention
            and for a source without a word.
        """
        reader = self._known_reader()
        found = self.decode(batch.src, batch.src_lengths, attention=True)
        shown = []
        for row, n, (best, *_) in zip(batch.src, batch.src_lengths.tolist(), found, strict=True):
            if best.attention is not None and n > 1:
                read = [reader.source.words[i] for i in row[:n].tolist()]
                written = [reader.target.words[i] for i in best.tokens]
                shown.append((read, [*written, "<eos>"], best.attention))
        return shown

    def _known_reader(self) -> Any:
        if self.reader is None:
            raise UserError(
                f"{type(self).__name__} has no reader to write text with: give the Trainer a data "
                "module of pairs, or set `reader` to its reader"
            )
        return self.reader

    def reports(self) -> list[Callback]:
        """TranslationReport, scores and attention maps."""
        return [TranslationReport()]

    def configure_metrics(self) -> dict[str, Metric | MetricCollection]:
        """BLEU, chrF, TER and exact matches, of all lines together."""
        return {"corpus": TranslationScores(self._known_reader().target)}

    def setup(self, stage: str) -> None:
        """Learn from the data how text is read and written."""
        self.reader = getattr(getattr(self.trainer, "datamodule", None), "reader", self.reader)
        super().setup(stage)

    def _log_metrics(self, stage: str) -> None:
        """Log the perplexity too: of a word after the true ones, teacher-forced."""
        super()._log_metrics(stage)
        perplexity = self.losses[stage].compute().exp()
        self.log(f"{stage}/perplexity", perplexity, sync_dist=True)

    def check_data(self, data: Any) -> None:
        """Refuse data whose vocabularies do not fit."""
        if self.tied == "three-way" and not getattr(data, "joint", True):
            raise UserError(f"tied=three-way {JOINT}")


class Seq2SeqTranslator(Translator):
    """Translate from the encoder's last state alone, without looking back at the source.

    Source: Sutskever et al. (2014), https://arxiv.org/abs/1409.3215.

    Args:
        src_vocab_size: Words in the vocabulary of the source.
        trg_vocab_size: Words in the vocabulary of the target.
        embedding_dim: Features of a word.
        hidden_dim: Features of a step.
        num_layers: Recurrent layers of encoder and decoder.
        teacher_forcing_ratio: See `Translator`.
        beam_size: Width of the beam in test and prediction; 1 is greedy.
        optimizer: See `Task`.
        scheduler: See `Task`.
    """

    def __init__(
        self,
        src_vocab_size: int,
        trg_vocab_size: int,
        embedding_dim: int = 256,
        hidden_dim: int = 512,
        num_layers: int = 2,
        *,
        teacher_forcing_ratio: float = 1.0,
        beam_size: int = 5,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(
            src_vocab_size,
            trg_vocab_size,
            embedding_dim,
            hidden_dim,
            num_layers,
            attention_position="none",
            bidirectional=False,
            teacher_forcing_ratio=teacher_forcing_ratio,
            beam_size=beam_size,
            optimizer=optimizer,
            scheduler=scheduler,
        )


class AttentionTranslator(Translator):
    """Translate with attention between two layers of the decoder; the encoder reads both ways.

    Source: Bahdanau et al. (2015), https://arxiv.org/abs/1409.0473; Wu et al. (2016),
    https://arxiv.org/abs/1609.08144, for the place of the attention.

    Args:
        src_vocab_size: Words in the vocabulary of the source.
        trg_vocab_size: Words in the vocabulary of the target.
        embedding_dim: Features of a word.
        hidden_dim: Features of a step, in the encoder shared between its directions.
        num_layers: Recurrent layers of encoder and decoder.
        teacher_forcing_ratio: See `Translator`.
        beam_size: Width of the beam in test and prediction; 1 is greedy.
        optimizer: See `Task`.
        scheduler: See `Task`.
    """

    def __init__(
        self,
        src_vocab_size: int,
        trg_vocab_size: int,
        embedding_dim: int = 256,
        hidden_dim: int = 512,
        num_layers: int = 2,
        *,
        teacher_forcing_ratio: float = 1.0,
        beam_size: int = 5,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(
            src_vocab_size,
            trg_vocab_size,
            embedding_dim,
            hidden_dim,
            num_layers,
            teacher_forcing_ratio=teacher_forcing_ratio,
            beam_size=beam_size,
            optimizer=optimizer,
            scheduler=scheduler,
        )
