"""Benchmark datasets for translation, by their names."""

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
from rnn_lab.tasks.translation.tokenizer import TranslationTokenizerConfig

MULTI30K = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/"
SEQ2SEQ = "https://raw.githubusercontent.com/genimind/seq2seq/master/"
log = logging.getLogger(__name__)


class Multi30k(PairDataModule):
    """Image captions in English and German: 29,000 / 1,014 / 1,000 pairs.

    As in published results, text is lowercased and tokenized by the Moses rules, and 10,000
    subwords are learned from both languages of the training split. The test set is that of 2016.

    Source: Elliott et al. (2016), https://doi.org/10.18653/v1/W16-3210; no license stated for
    the texts, whose images in Flickr30K are for non-commercial research and education.
    """

    folder: ClassVar[str] = "multi30k"
    languages = ("en", "de")
    default_tokenizer = TranslationTokenizerConfig(
        "bpe", lowercase=True, max_vocab_size=10_000, moses=True, joint=True
    )
    names: ClassVar = {"train": "train", "valid": "val", "test": "test_2016_flickr"}
    counts: ClassVar = {"train": 29_000, "valid": 1014, "test": 1000}
    sizes: ClassVar = {
        "en": {"train": 1_801_238, "valid": 63_297, "test": 62_076},
        "de": {"train": 2_110_398, "valid": 75_981, "test": 70_649},
    }

    def sources(self) -> PairSources:
        """Return a reader of the two files of each split."""
        return {name: partial(self._read, name) for name in self.names}

    def fingerprint(self, split: str) -> Any:
        """Return the hashes of the two files of a split."""
        return ["Multi30k", [file_sha256(path) for path in self.paths(split)]]

    def paths(self, split: str) -> list[Path]:
        """Return the files of sources and targets; missing ones are downloaded."""
        files = [self.file(split, str(language)) for language in self.direction]
        return [locate(self.folder, file, self.root) for file in files]

    @classmethod
    def file(cls, split: str, language: str) -> RemoteFile:
        """Return the remote file of a split in one language."""
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
                f"the {split} split of Multi30k has {count} pairs, expected "
                f"{self.counts[split]}: {sources} and {targets} are incomplete, remove them to "
                "download them again"
            )


class Tatoeba(PairDataModule):
    """Short sentences in English and French, some with several translations: 142,787 pairs.

    There is no official split: 2 % of the source sentences, with all their translations, are
    drawn for the test and 2 % for validation, about 2,000 English sentences each. Other releases
    of the file are accepted with a warning.

    Source: https://www.manythings.org/anki/, from https://tatoeba.org, release of 2017-09-29 in
    the copy of genimind/seq2seq; license CC BY 2.0.
    """

    folder: ClassVar[str] = "tatoeba_fra_eng"
    languages = ("en", "fr")  # in the order of the columns
    default_tokenizer = TranslationTokenizerConfig(
        "words", lowercase=True, max_vocab_size=9996, moses=True, joint=False
    )
    default_valid_fraction = test_fraction = 0.02
    count: ClassVar[int] = 142_787
    file: ClassVar = RemoteFile("fra-eng.zip", (f"{SEQ2SEQ}fra-eng.zip",))
    member: ClassVar[str] = "fra.txt"

    def sources(self) -> PairSources:
        """Return a reader of all pairs; validation and test are drawn from the training split."""
        return {"train": self._read}

    def fingerprint(self, split: str) -> Any:
        """Return the hash of the archive and the direction."""
        return ["Tatoeba", file_sha256(self.path), self.columns]

    @property
    def columns(self) -> list[int]:
        """Columns of source and target."""
        return [self.languages.index(str(language)) for language in self.direction]

    @property
    def path(self) -> Path:
        """Path of the archive, which is downloaded if it is missing."""
        return locate(self.folder, self.file, self.root)

    def _read(self) -> Iterator[Pair]:
        count = 0
        for line in self._text().removesuffix("\n").split("\n"):
            count += 1
            row = line.removesuffix("\r").split("\t")  # newer releases have an attribution column
            if len(row) < 2:
                raise UserError(f"{self.path}:{self.member} line {count} has no tab")
            yield Pair(*(row[column] for column in self.columns))
        if count != self.count:
            log.warning(
                "Tatoeba: %s is another release, with %d pairs instead of %d: results will differ",
                *(self.path, count, self.count),
            )

    def _text(self) -> str:
        for _, content in members(self.path, self.member):
            try:
                return content.decode()
            except UnicodeDecodeError as error:
                raise UserError(f"{self.path}:{self.member} is not UTF-8: {error}") from error
        raise UserError(f"{self.path} does not contain {self.member}")
