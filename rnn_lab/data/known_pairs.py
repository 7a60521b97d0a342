"""Datasets of sentences and their translations that everybody knows, by their names."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from rnn_lab.data.pair_corpus import Pair
from rnn_lab.data.pairs import PairDataModule, PairSources, read_parallel
from rnn_lab.data.sources import KnownFile, locate
from rnn_lab.data.text import digest
from rnn_lab.data.vocabulary import TokenizerName
from rnn_lab.errors import UserError

MULTI30K = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/"


class Multi30k(PairDataModule):
    """Captions of photographs in English and German: 29,000 / 1,014 / 1,000 pairs.

    As in the published figures, case is dropped, text is tokenised by Moses' rules, and 10,000
    subwords are learned from both languages of the training split. The test is of 2016.

    Source: Elliott et al. (2016), https://doi.org/10.18653/v1/W16-3210, derived from Flickr30K,
    for non-commercial research and education.

    Args:
        batch_size: See `PairDataModule`, as all that follow.
        source: The language that is read, `en` or `de`.
        target: The language that is written, the other one.
    """

    folder: ClassVar[str] = "multi30k"
    names: ClassVar = {"train": "train", "valid": "val", "test": "test_2016_flickr"}
    counts: ClassVar = {"train": 29_000, "valid": 1014, "test": 1000}
    sizes: ClassVar = {
        "en": {"train": 1_801_238, "valid": 63_297, "test": 62_076},
        "de": {"train": 2_110_398, "valid": 75_981, "test": 70_649},
    }

    def __init__(
        self,
        batch_size: int = 64,
        *,
        batch_tokens: int | None = None,
        source: str = "en",
        target: str = "de",
        root: str | None = None,
        tokenizer: TokenizerName = "bpe",
        vocab_size: int | None = 10_000,
        min_freq: int = 1,
        lowercase: bool = True,
        moses: bool = True,
        joint: bool = True,
        max_length: int | None = None,
        reader_from: str | None = None,
    ) -> None:
        if {source, target} != set(self.sizes):
            raise UserError(
                f"Multi30k translates en to de or de to en, got source={source} target={target}"
            )
        super().__init__(
            batch_size,
            batch_tokens=batch_tokens,
            source=source,
            target=target,
            root=root,
            tokenizer=tokenizer,
            vocab_size=vocab_size,
            min_freq=min_freq,
            lowercase=lowercase,
            moses=moses,
            joint=joint,
            max_length=max_length,
            reader_from=reader_from,
        )
        self.languages = (source, target)

    def sources(self) -> PairSources:
        """Read each split from its two files."""
        return {name: partial(self._read, name) for name in self.names}

    def content(self, split: str) -> Any:
        """The digests of the two files of a split."""
        return ["Multi30k", [digest(path) for path in self.paths(split)]]

    def paths(self, split: str) -> tuple[Path, Path]:
        """Find the files of a split; what is missing is fetched."""
        first, second = (self._locate(split, language) for language in self.languages)
        return first, second

    def _locate(self, split: str, language: str) -> Path:
        name = f"{self.names[split]}.{language}"
        size = self.sizes[language][split]
        return locate(self.folder, KnownFile(name, (f"{MULTI30K}{name}.gz",), size=size), self.root)

    def _read(self, split: str) -> Iterator[Pair]:
        count = 0
        for pair in read_parallel(*self.paths(split)):
            count += 1
            yield pair
        if count != self.counts[split]:
            raise UserError(
                f"the {split} split of Multi30k has {count} pairs, wanted {self.counts[split]}: "
                f"{', '.join(map(str, self.paths(split)))} are not whole"
            )
