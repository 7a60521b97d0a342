"""Metrics of translation: sacrebleu's scores, exact over batches and processes."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

if TYPE_CHECKING:  # sacrebleu is imported only where scores are computed
    from sacrebleu.metrics.base import Metric as Scorer

NUM_COUNTS = {"bleu": 10, "chrf": 18, "ter": 2, "bleu_tokenized": 10}  # behind a score of sacrebleu


class TargetTokenizer(Protocol):
    """Convert between raw and normalized text; `settings` has `lowercase`, `moses` and `kind`."""

    settings: Any

    def normalize(self, text: str) -> str:
        """Normalize raw text as the targets of the model."""

    def detokenize(self, normalized: str) -> str:
        """Convert the model's output to raw text."""


class TranslationScores(Metric):
    """Compare translations with one reference each.

    `bleu` (tokenization 13a), `chrf` and `ter` compare detokenized text and are 0 to 100;
    `exact_match` is the fraction of translations that equal their normalized reference. If the
    tokenizer separates punctuation marks (the Moses rules, or `words`), `bleu_tokenized` compares
    the model's output with the normalized reference, as most papers on Multi30k do. The state is
    the counts behind each score, so that scores are sacrebleu's own for any division into batches.
    Scores of no lines are NaN.

    Args:
        tokenizer: Tokenizer of the targets; None compares texts unchanged.
        ter: If True, compute `ter`, whose time grows steeply with the length: less than a second
            for a thousand lines of 12 words, half a minute for a thousand of 40.
    """

    full_state_update = False
    exact_match_statistics: Tensor

    def __init__(self, tokenizer: TargetTokenizer | None = None, *, ter: bool = True) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self._names = ["bleu", "chrf", *(["ter"] if ter else [])]
        settings = tokenizer.settings if tokenizer is not None else None
        if settings is not None and (settings.moses or settings.kind == "words"):
            self._names.append("bleu_tokenized")
        for name in self._names:
            self._add_counts(f"{name}_statistics", NUM_COUNTS[name])
        self._add_counts("exact_match_statistics", 2)
        self._latest: dict[str, list[list[int]]] = {}  # counts of each line of the last update

    def _add_counts(self, name: str, size: int) -> None:
        self.add_state(name, torch.zeros(size, dtype=torch.int64), dist_reduce_fx="sum")

    @cached_property
    def scorers(self) -> dict[str, "Scorer"]:
        """Scorers of sacrebleu by name, which is imported for the first lines."""
        from sacrebleu.metrics import BLEU, CHRF, TER

        lowercase = self.tokenizer is not None and bool(self.tokenizer.settings.lowercase)
        # `force` suppresses a warning about text that looks tokenized.
        scorers: dict[str, Scorer] = {
            "bleu": BLEU(tokenize="13a", lowercase=lowercase, force=True),
            "chrf": CHRF(lowercase=lowercase),
            "ter": TER(),
            "bleu_tokenized": BLEU(tokenize="none", lowercase=lowercase, force=True),
        }
        for scorer in scorers.values():
            _statistics(scorer, [""], [""])  # tells its signature that there is one reference
        return {name: scorers[name] for name in self._names}

    def update(self, predictions: Sequence[str], targets: Sequence[str]) -> None:
        """Update the counts of all scores.

        Args:
            predictions: The model's output, normalized.
            targets: References as in their file.

        Raises:
            ValueError: If the numbers of predictions and targets differ.
        """
        if len(predictions) != len(targets):
            raise ValueError(f"got {len(predictions)} predictions for {len(targets)} targets")
        if not predictions:
            return
        normalized = self._map("normalize", targets)
        detokenized = self._map("detokenize", predictions)
        for name, scorer in self.scorers.items():
            tokenized = name == "bleu_tokenized"
            pair = (predictions, normalized) if tokenized else (detokenized, targets)
            self._latest[name] = _statistics(scorer, *map(list, pair))
            self._count(f"{name}_statistics", _sums(self._latest[name]))
        matches = [int(a == b) for a, b in zip(predictions, normalized, strict=True)]
        self._latest["exact_match"] = [[match, 1] for match in matches]
        self._count("exact_match_statistics", _sums(self._latest["exact_match"]))

    def sentence_counts(self) -> dict[str, np.ndarray]:
        """Return the counts of each line of the last update, from which scores are computed.

        Returns:
            For each score `NAME_counts`, `(lines, counts)`, whose sums over any lines give the
            score of these lines.
        """
        return {f"{name}_counts": np.array(lines) for name, lines in self._latest.items()}

    def _map(self, method: str, texts: Sequence[str]) -> list[str]:
        """Apply a method of the tokenizer to each text."""
        if self.tokenizer is None:
            return list(texts)
        convert: Callable[[str], str] = getattr(self.tokenizer, method)
        return [convert(text) for text in texts]

    def _count(self, name: str, counts: list[int]) -> None:
        state: Tensor = getattr(self, name)
        state += torch.tensor(counts, device=state.device)

    def compute(self) -> dict[str, Tensor]:
        """Compute all scores."""
        matches, lines = self.exact_match_statistics.tolist()
        scores = {name: self._score(name) if lines else torch.nan for name in self._names}
        scores["exact_match"] = matches / lines if lines else torch.nan
        # Double precision, as sacrebleu's scores, except on Apple's devices, which lack float64.
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        return {
            name: torch.tensor(score, dtype=dtype, device=self.device)
            for name, score in scores.items()
        }

    def _score(self, name: str) -> float:
        counts = getattr(self, f"{name}_statistics").tolist()
        return self.scorers[name]._aggregate_and_compute([counts]).score

    def signatures(self) -> dict[str, str]:
        """Return sacrebleu's signature of each score."""
        return {name: scorer.get_signature().format() for name, scorer in self.scorers.items()}

    @property
    def update_called(self) -> bool:
        """Always True, to avoid a warning on processes that have no lines."""
        return True


def _statistics(
    scorer: "Scorer", predictions: Sequence[str], targets: Sequence[str]
) -> list[list[int]]:
    """Return sacrebleu's counts of each line; with one reference per line all are integers."""
    lines = scorer._extract_corpus_statistics(predictions, [targets])
    return [[int(count) for count in line] for line in lines]


def _sums(lines: Sequence[Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip(*lines, strict=True)]
