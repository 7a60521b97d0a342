"""How well texts are translated: sacrebleu's scores, exact over batches and processes."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torchmetrics import Metric

if TYPE_CHECKING:  # only a task on text pairs needs it
    from sacrebleu.metrics.base import Metric as Scorer


class TargetReader(Protocol):
    """Knows the text a model writes; `settings` has `lowercase` and `moses`."""

    settings: Any

    def normalized(self, text: str) -> str:
        """Bring raw text into the form that a model writes."""

    def plain(self, normalized: str) -> str:
        """Bring what a model wrote into the form of raw text."""


class TranslationScores(Metric):
    """Compare translations with one reference each.

    `bleu` (tokenization 13a), `chrf` and `ter` take plain text on both sides, 0 to 100;
    `exact_match` is the fraction of translations that equal their normalized reference. Where the
    reader follows Moses, `bleu_tokenized` compares the output with the normalized reference, as
    most papers on Multi30k do. What is summed are the counts behind each score, so that it is
    sacrebleu's own however the lines are cut into batches. The scores of no lines are NaN.

    Args:
        reader: Knows what the model writes; None compares texts as they are.
        ter: Whether `ter` is among the scores: its time grows steeply, from less than a second
            for a thousand lines of 12 words to half a minute for a thousand of 40.
    """

    full_state_update = False
    exact_statistics: Tensor

    def __init__(self, reader: TargetReader | None = None, *, ter: bool = True) -> None:
        super().__init__()
        self.reader = reader
        lowercase = reader is not None and bool(reader.settings.lowercase)
        from sacrebleu.metrics import BLEU, CHRF, TER

        # `force` only silences a warning about text that looks tokenized.
        self.scorers: dict[str, Scorer] = {
            "bleu": BLEU(tokenize="13a", lowercase=lowercase, force=True),
            "chrf": CHRF(lowercase=lowercase),
        }
        if ter:
            self.scorers["ter"] = TER()
        if reader is not None and reader.settings.moses:
            self.scorers["bleu_tokenized"] = BLEU(tokenize="none", lowercase=lowercase, force=True)
        for name, scorer in self.scorers.items():
            size = len(_statistics(scorer, [""], [""]))
            self._add_counts(f"{name}_statistics", size)
        self._add_counts("exact_statistics", 2)

    def _add_counts(self, name: str, size: int) -> None:
        self.add_state(name, torch.zeros(size, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Sequence[str], targets: Sequence[str]) -> None:
        """Count what the scores are made of.

        Args:
            predictions: Translations as the model wrote them, normalized.
            targets: References as they lie in their file.

        Raises:
            ValueError: If there are not as many of one as of the other.
        """
        if len(predictions) != len(targets):
            raise ValueError(f"{len(predictions)} predictions do not fit {len(targets)} targets")
        if not predictions:
            return
        written, wished = list(predictions), self._each("normalized", targets)
        plain = self._each("plain", predictions)
        for name, scorer in self.scorers.items():
            sides = (written, wished) if name == "bleu_tokenized" else (plain, list(targets))
            self._count(f"{name}_statistics", _statistics(scorer, *sides))
        equal = sum(a == b for a, b in zip(written, wished, strict=True))
        self._count("exact_statistics", [equal, len(written)])

    def _each(self, method: str, texts: Sequence[str]) -> list[str]:
        if self.reader is None:
            return list(texts)
        change: Callable[[str], str] = getattr(self.reader, method)
        return [change(text) for text in texts]

    def _count(self, name: str, counts: list[int]) -> None:
        state: Tensor = getattr(self, name)
        state += torch.tensor(counts, device=state.device)

    def compute(self) -> dict[str, Tensor]:
        """Make the scores of all that was counted."""
        equal, lines = self.exact_statistics.tolist()
        scores = {name: self._score(name) if lines else torch.nan for name in self.scorers}
        scores["exact_match"] = equal / lines if lines else torch.nan
        # What sacrebleu gives to the last digit, but on Apple's devices, which lack float64.
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        return {
            name: torch.tensor(score, dtype=dtype, device=self.device)
            for name, score in scores.items()
        }

    def _score(self, name: str) -> float:
        counts = getattr(self, f"{name}_statistics").tolist()
        return self.scorers[name]._aggregate_and_compute([counts]).score

    def signatures(self) -> dict[str, str]:
        """Say how each score was made, in sacrebleu's words."""
        return {name: scorer.get_signature().format() for name, scorer in self.scorers.items()}

    @property
    def update_called(self) -> bool:
        """Always true: scores of no lines are asked for on a process that was given none."""
        return True


def _statistics(scorer: "Scorer", predictions: Sequence[str], targets: Sequence[str]) -> list[int]:
    """Sum what sacrebleu counts in each line; with one reference a line all are whole numbers."""
    lines = scorer._extract_corpus_statistics(predictions, [targets])
    return [int(sum(column)) for column in zip(*lines, strict=True)]
