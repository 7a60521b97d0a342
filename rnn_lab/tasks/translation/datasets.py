"""Datasets of sentences and their translations that everybody knows, by their names."""

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from rnn_lab.errors import UserError
from rnn_lab.io.archives import members
from rnn_lab.io.downloads import RemoteFile, locate
from rnn_lab.io.hashing import file_sha256
from rnn_lab.tasks.translation.corpus import Pair
from rnn_lab.tasks.translation.data import PairDataModule, PairSources, read_parallel
from rnn_lab.text.tokenizer import TokenizerKind

MULTI30K = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/"
SEQ2SEQ = "https://raw.githubusercontent.com/genimind/seq2seq/master/"
log = logging.getLogger(__name__)


class Multi30k(PairDataModule):
    """Captions of photographs in English and German: 29,000 / 1,014 / 1,000 pairs.

    As in the published figures, case is dropped, text is tokenized by Moses' rules, and 10,000
    subwords are learned from both languages of the training split. The test is of 2016.

    Source: Elliott et al. (2016), https://doi.org/10.18653/v1/W16-3210, derived from Flickr30K,
    for non-commercial research and education.

    Args:
        batch_size: See `PairDataModule`, as all that follow.
        source: The language that is read, `en` or `de`.
        target: The language that is written, the other one.
    """

    languages = ("en", "de")
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
        tokenizer: TokenizerKind = "bpe",
        vocab_size: int | None = 10_000,
        min_freq: int = 1,
        lowercase: bool = True,
        moses: bool = True,
        joint: bool = True,
        max_length: int | None = None,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
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
            vocab_from_checkpoint=vocab_from_checkpoint,
        )
        self.direction = (source, target)

    def sources(self) -> PairSources:
        """Read each split from its two files."""
        return {name: partial(self._read, name) for name in self.names}

    def fingerprint(self, split: str) -> Any:
        """The digests of the two files of a split."""
        return ["Multi30k", [file_sha256(path) for path in self.paths(split)]]

    def paths(self, split: str) -> list[Path]:
        """Find the file of sources and that of targets; what is missing is fetched."""
        files = [self.file(split, language) for language in self.direction]
        return [locate("multi30k", file, self.root) for file in files]

    @classmethod
    def file(cls, split: str, language: str) -> RemoteFile:
        """Say what holds a language of a split."""
        name = f"{cls.names[split]}.{language}"
        return RemoteFile(name, (f"{MULTI30K}{name}.gz",), size=cls.sizes[language][split])

    def _read(self, split: str) -> Iterator[Pair]:
        sources, targets = self.paths(split)
        count = 0
        for pair in read_parallel(sources, targets):
            count += 1
            yield pair
        if count != self.counts[split]:
            raise UserError(
                f"the {split} split of Multi30k has {count} pairs, wanted {self.counts[split]}: "
                f"{sources} and {targets} are not whole"
            )


class Tatoeba(PairDataModule):
    """Short sentences in English and French, some with several translations: 142,787 pairs.

    There is no official split: of the sentences of the source, with all their translations, 2 %
    are drawn for the test and 2 % for validation, some 2,000 of English each. Other releases of
    the file are read, too, and said to be others.

    Source: https://www.manythings.org/anki/, from https://tatoeba.org, release of 2017-09-29 in
    the copy of genimind/seq2seq; licence CC BY 2.0.

    Args:
        batch_size: See `PairDataModule`, as all that follow.
        source: The language that is read, `en` or `fr`.
        target: The language that is written, the other one.
    """

    languages = ("en", "fr")  # in the order of the columns
    test_fraction = 0.02
    count: ClassVar[int] = 142_787
    file: ClassVar = RemoteFile("fra-eng.zip", (f"{SEQ2SEQ}fra-eng.zip",))
    member: ClassVar[str] = "fra.txt"

    def __init__(
        self,
        batch_size: int = 64,
        *,
        batch_tokens: int | None = None,
        source: str = "en",
        target: str = "fr",
        root: str | None = None,
        tokenizer: TokenizerKind = "words",
        vocab_size: int | None = 10_000,
        min_freq: int = 1,
        lowercase: bool = True,
        moses: bool = True,
        joint: bool = False,
        max_length: int | None = None,
        valid_fraction: float = 0.02,
        split_seed: int = 0,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
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
            valid_fraction=valid_fraction,
            split_seed=split_seed,
            vocab_from_checkpoint=vocab_from_checkpoint,
        )
        self.columns = [self.languages.index(language) for language in (source, target)]

    def sources(self) -> PairSources:
        """Read all pairs as training; the other splits are drawn from it."""
        return {"train": self._read}

    def fingerprint(self, split: str) -> Any:
        """The digest of the archive and the direction."""
        return ["Tatoeba", file_sha256(self.path), self.columns]

    @property
    def path(self) -> Path:
        """Where the archive lies; it is fetched if it is missing."""
        return locate("tatoeba_fra_eng", self.file, self.root)

    def _read(self) -> Iterator[Pair]:
        count = 0
        for line in self._text().removesuffix("\n").split("\n"):
            count += 1
            row = line.removesuffix("\r").split("\t")  # newer releases add where it comes from
            if len(row) < 2:
                raise UserError(f"{self.path}:{self.member} line {count} has no tab")
            yield Pair(*(row[column] for column in self.columns))
        if count != self.count:
            log.warning(
                "Tatoeba: %s is another release, of %d pairs instead of %d: figures will differ",
                *(self.path, count, self.count),
            )

    def _text(self) -> str:
        for _, content in members(self.path, self.member):
            try:
                return content.decode()
            except UnicodeDecodeError as error:
                raise UserError(f"{self.path}:{self.member} is not utf-8: {error}") from error
        raise UserError(f"{self.path} holds no {self.member}")
