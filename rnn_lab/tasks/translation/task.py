"""The base class of all translators."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from rnn_lab.core.options import as_options
from rnn_lab.core.task import StepOutput, Task, check_probabilities
from rnn_lab.errors import UserError
from rnn_lab.nn import (
    BEAM_SEARCH,
    GREEDY,
    GenerationConfig,
    Hypothesis,
    ScheduledSampling,
)
from rnn_lab.nn.functional.precision import no_autocast
from rnn_lab.nn.seq2seq.model import BaseSeq2Seq
from rnn_lab.nn.seq2seq.scoring import score_references
from rnn_lab.special_tokens import EOS_ID
from rnn_lab.tasks.translation.batch import PairBatch
from rnn_lab.tasks.translation.joined_attention import join_subwords
from rnn_lab.tasks.translation.metrics import TranslationScores
from rnn_lab.tasks.translation.reports import TranslationReport
from rnn_lab.training.items import ItemReport

NEEDS_JOINT_VOCABULARY = (
    "tie_embeddings=all needs one vocabulary of both languages, but the data has two: set "
    "--data.tokenizer.joint=true or tie_embeddings=decoder"
)


class TranslationTask(Task):
    """Loss, decoding, metrics and reports of a translator.

    A subclass builds the network. Validation decodes greedily, the test with `search`. `loss` and
    `perplexity` are teacher-forced; all other metrics compare decoded translations with the
    references.

    Args:
        search: Options of decoding in test and prediction.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Attributes:
        net: The network.
        joint_vocabulary: Whether the data must have one vocabulary of both languages.
        scheduled_sampling: Teacher-forcing ratio in training.
        label_smoothing: Label smoothing epsilon, in training.
        ensemble: Further translators whose probabilities are averaged with this one's in decoding.
        tokenizer: Tokenizers of both languages, taken from the data module.
    """

    batch_type = PairBatch
    predictor = "rnn_lab.tasks.translation.predictor.TranslationPredictor"
    commands = "translate", "predict"
    monitor, mode = "val/bleu", "max"
    score_modes: ClassVar[Mapping[str, Literal["min", "max"]]] = {
        **dict.fromkeys(("bleu", "bleu_tokenized", "chrf", "exact_match"), "max"),
        **dict.fromkeys(("ter", "perplexity"), "min"),
    }

    net: BaseSeq2Seq
    joint_vocabulary: bool = False
    scheduled_sampling: ScheduledSampling = ScheduledSampling()
    label_smoothing: float = 0.0

    def __init__(
        self,
        *,
        search: GenerationConfig = BEAM_SEARCH,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        check_probabilities(label_smoothing=self.label_smoothing)
        self.search = as_options(GenerationConfig, search)
        self.ensemble: list[TranslationTask] = []
        self.tokenizer: Any = None

    @abstractmethod
    def _build(self, *args: Any, **kwargs: Any) -> BaseSeq2Seq:
        """Build the network; the constructor of a subclass calls it."""

    def forward(
        self,
        src: Tensor,
        trg: Tensor,
        teacher_forcing_ratio: float = 0.5,
        src_lengths: Tensor | None = None,
    ) -> Tensor:
        """Compute the logits of every target token as the textbook does, see `Seq2Seq.forward`."""
        return self.net(src, trg, teacher_forcing_ratio, src_lengths)

    def step(self, batch: PairBatch) -> StepOutput:
        """Compute the loss of a batch; in evaluation also translate it, both in full precision."""
        num_tokens = int(batch.trg_lengths.sum()) - len(batch.trg)
        if self.training:
            step = self.trainer.global_step if self._trainer else 0
            loss = self._loss(batch, self.scheduled_sampling.ratio_at(step), self.label_smoothing)
            return StepOutput(loss, (), batch.references, num_tokens)
        with no_autocast(self.device):
            testing = self._trainer is not None and self.trainer.testing
            translations = self.translate(batch, self.search if testing else GREEDY)
            loss = self._ensemble_loss(batch, num_tokens) if self.ensemble else self._loss(batch)
            return StepOutput(loss, translations, batch.references, num_tokens)

    def _loss(self, batch: PairBatch, ratio: float = 1.0, smoothing: float = 0.0) -> Tensor:
        return self.net.loss(batch.src, batch.trg, ratio, batch.src_lengths, smoothing)

    def _ensemble_loss(self, batch: PairBatch, num_tokens: int) -> Tensor:
        """Compute the cross-entropy of the ensemble's mean probabilities."""
        scored = score_references(
            self.nets(), batch.src, batch.trg, batch.src_lengths, batch.trg_lengths
        )
        total = -sum(hypothesis.logprob for hypothesis in scored)
        return torch.tensor(total / num_tokens, device=self.device)

    def translate(self, batch: PairBatch, search: GenerationConfig) -> list[str]:
        """Return the best translation of each source as normalized text.

        The translation of an empty source is empty.
        """
        target = self._require_tokenizer().target
        decoded = self.decode(batch.src, batch.src_lengths, search)
        return [
            target.decode_normalized(best.tokens) if length > 1 else ""
            for (best, *_), length in zip(decoded, batch.src_lengths.tolist(), strict=True)
        ]

    def decode(
        self,
        src: Tensor,
        lengths: Tensor,
        search: GenerationConfig | None = None,
        *,
        attention: bool = False,
        generator: torch.Generator | None = None,
    ) -> list[list[Hypothesis]]:
        """Decode sources, together with the other models of an ensemble.

        A translation has at most twice as many tokens as its source plus twenty.

        Args:
            src: Token ids, `(batch, src_len)`.
            lengths: Real tokens of each source, `(batch,)` on the CPU.
            search: Options of decoding; None: those of the constructor.
            attention: If True, return attention weights.
            generator: Random generator for sampling; None: torch's default.
        """
        limits = 2 * lengths + 20
        return (search or self.search).decode(
            self.nets(), src, lengths, limits, attention=attention, generator=generator
        )

    def nets(self) -> list[BaseSeq2Seq]:
        """Return the networks that decode together: this model's and those of the ensemble."""
        return [self.net, *(other.to(self.device).net for other in self.ensemble)]

    def attention_maps(self, batch: PairBatch) -> list[tuple[list[str], list[str], Tensor]]:
        """Decode a batch and return the attention weights of the best translations.

        Returns:
            For each sentence the source words, the target words, both with the end token, and
            the weights `(target, source)`; words are characters if the tokenizer's are. The
            subwords of a word are joined, see `join_subwords`. Empty sources are left out; without
            attention the list is empty.
        """
        tokenizer = self._require_tokenizer()
        decoded = self.decode(batch.src, batch.src_lengths, attention=True)
        maps = []
        for row, n, (best, *_) in zip(batch.src, batch.src_lengths.tolist(), decoded, strict=True):
            if best.attention is not None and n > 1:
                src, trg = row[:n].tolist(), [*best.tokens, EOS_ID]
                words = tokenizer.source.whole_words(src), tokenizer.target.whole_words(trg)
                starts = tokenizer.source.word_starts(src), tokenizer.target.word_starts(trg)
                maps.append((*words, join_subwords(best.attention, *starts)))
        return maps

    def _require_tokenizer(self) -> Any:
        if self.tokenizer is None:
            raise UserError(
                f"{type(self).__name__} has no tokenizer to decode text with: use a Trainer with a "
                "PairDataModule, or set `tokenizer` to that of one"
            )
        return self.tokenizer

    def items(self, output: StepOutput, batch: PairBatch) -> dict[str, Any]:
        """Return reference, translation, length of the source and sacrebleu's counts."""
        scores: Any = self.metrics["test"]["corpus"]
        detokenize = self._require_tokenizer().target.detokenize
        return {
            "target": list(output.targets),
            "prediction": [detokenize(text) for text in output.predictions],
            "source_length": batch.src_lengths,  # tokens, with that of the end
            **scores.sentence_counts(),
        }

    def reports(self) -> list[Callback]:
        """Return the reports: translations, scores, attention maps; counts of all sentences."""
        return [TranslationReport(), ItemReport()]

    def configure_metrics(self) -> dict[str, Metric | MetricCollection]:
        """Return BLEU, chrF, TER and exact match over all lines."""
        return {"corpus": TranslationScores(self._require_tokenizer().target)}

    def setup(self, stage: str) -> None:
        """Take the tokenizers of the data module."""
        data = getattr(self.trainer, "datamodule", None)
        self.tokenizer = getattr(data, "tokenizer", self.tokenizer)
        super().setup(stage)

    def _log_metrics(self, stage: str) -> None:
        """Log the teacher-forced perplexity too."""
        super()._log_metrics(stage)
        perplexity = self.losses[stage].compute().exp()
        self.log(f"{stage}/perplexity", perplexity, sync_dist=True)

    def check_data(self, data: Any) -> None:
        """Refuse data without a joint vocabulary if all embeddings are tied."""
        if self.joint_vocabulary and not getattr(data, "joint", True):
            raise UserError(NEEDS_JOINT_VOCABULARY)
