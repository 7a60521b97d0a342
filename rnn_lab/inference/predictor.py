"""What answers to raw input have in common."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from rnn_lab.errors import UserError
from rnn_lab.special_tokens import PAD_ID

TEXTS_AT_ONCE = 2048  # read ahead, so that texts of like lengths share a batch

Answer = dict[str, Any]


class Predictor:
    """Answers raw texts, or what else a subclass reads: what all answers have in common."""

    def predict(self, texts: Iterable[Any]) -> list[Answer]:
        """Answer some texts, see `answers`."""
        if isinstance(texts, str):
            raise UserError("predict takes a list of texts, got one string")
        return list(self.answers(texts))

    def answers(self, texts: Iterable[Any]) -> Iterator[Answer]:
        """Answer texts one after the other, in their order; memory stays bounded.

        Args:
            texts: Raw texts, any number of them; see the subclass where it reads others.

        Yields:
            An answer for each, see the subclass.
        """
        checked = map(self._checked, texts)
        while chunk := list(itertools.islice(checked, TEXTS_AT_ONCE)):
            yield from self._answer(chunk)

    def _checked(self, raw: Any) -> Any:
        """Refuse what is no text."""
        if not isinstance(raw, str):
            raise UserError(f"texts must be strings, got {raw!r}")
        try:
            raw.encode()
        except UnicodeEncodeError as error:  # bytes that a stream could not decode
            raise UserError(f"a text is not utf-8: {raw!r}") from error
        return raw

    def _answer(self, raw: list[Any]) -> list[Answer]:
        raise NotImplementedError(f"{type(self).__name__} does not say how it answers")


def like_lengths(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Cut rows into batches of like lengths with at most so many steps, padding included."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    while order:
        size = max(1, most // lengths[order[-1]])
        yield order[-size:]
        order = order[:-size]


def padded(rows: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(row) for row in rows])
    longest = int(lengths.max())
    return torch.tensor([row + [PAD_ID] * (longest - len(row)) for row in rows]), lengths
