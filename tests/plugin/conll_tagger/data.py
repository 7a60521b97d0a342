"""Sentences of words and tags: one word and tag per line, empty lines between sentences."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from rnn_lab import LabDataModule, UserError
from rnn_lab.core.checkpoint import Checkpoint

PAD, UNKNOWN = 0, 1
Sentence = list[tuple[str, str]]


class TagBatch(NamedTuple):
    """Ids of words and tags, `(batch, time)` int64 (tags: -100 on padding), and lengths."""

    tokens: Tensor
    tags: Tensor
    lengths: Tensor

    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        """Move all but the lengths to the device."""
        return self._replace(tokens=self.tokens.to(device), tags=self.tags.to(device))


def read_sentences(path: str) -> Iterator[Sentence]:
    """Read the sentences of a file; a line without two columns raises a `UserError`."""
    sentence: Sentence = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        match line.split():
            case [word, tag]:
                sentence.append((word, tag))
            case []:
                yield from [sentence] if sentence else []
                sentence = []
            case columns:
                raise UserError(f"{path} line {number} has {len(columns)} columns, expected 2")
    yield from [sentence] if sentence else []


class Sentences:
    """The sentences of one split."""

    def __init__(self, sentences: list[Sentence], words: list[str], tags: list[str]) -> None:
        self.sentences = sentences
        self.lengths = np.array([len(sentence) for sentence in sentences])
        self._words = {word: i for i, word in enumerate(words)}
        self._tags = {tag: i for i, tag in enumerate(tags)}

    def __len__(self) -> int:
        return len(self.sentences)

    def __getitem__(self, rows: np.ndarray) -> TagBatch:
        """Gather sentences into one padded batch."""
        sentences = [self.sentences[row] for row in rows]
        lengths = torch.from_numpy(self.lengths[rows])
        tokens = torch.full((len(sentences), int(lengths.max())), PAD)
        tags = torch.full_like(tokens, -100)
        for row, sentence in enumerate(sentences):
            ids = [self._words.get(word, UNKNOWN) for word, _ in sentence]
            tokens[row, : len(ids)] = torch.tensor(ids)
            tags[row, : len(ids)] = torch.tensor([self._tags[tag] for _, tag in sentence])
        return TagBatch(tokens, tags, lengths)


class ConllFiles(LabDataModule):
    """Files of tagged words, one per split; `vocab_from` reuses the vocabulary of a checkpoint."""

    batch_type = TagBatch
    linked = ("vocab_size", "num_classes")
    checkpoint_argument = "vocab_from"
    machine_specific = ("train", "valid", "test", "vocab_from")

    def __init__(
        self,
        train: str | None = None,
        valid: str | None = None,
        test: str | None = None,
        batch_size: int = 16,
        vocab_from: str | None = None,
    ) -> None:
        super().__init__(batch_size)
        self.files = {"train": train, "valid": valid, "test": test}
        self._stored = Checkpoint.open(vocab_from).data if vocab_from else None

    @cached_property
    def _vocabulary(self) -> tuple[list[str], list[str]]:
        if self._stored is not None:
            return self._stored["words"], self._stored["labels"]
        pairs = [pair for sentence in self._read("train") for pair in sentence]
        words = sorted({word for word, _ in pairs})
        return ["<pad>", "<unk>", *words], sorted({tag for _, tag in pairs})

    def _read(self, name: str) -> list[Sentence]:
        path = self.files[name]
        if path is None:
            raise UserError(f"ConllFiles has no {name} split: set --data.{name}=FILE")
        return list(read_sentences(path))

    @property
    def vocab_size(self) -> int:
        """Number of words in the vocabulary."""
        return len(self._vocabulary[0])

    @property
    def label_names(self) -> list[str]:
        """Tags in the order of their ids."""
        return self._vocabulary[1]

    def split(self, name: str) -> Sentences:
        """Open a split, `train`, `valid` or `test`."""
        return Sentences(self._read(name), *self._vocabulary)

    def build_spec(self) -> dict[str, Any]:
        """Add the vocabulary to the build specification."""
        return {**super().build_spec(), "words": self._vocabulary[0]}
