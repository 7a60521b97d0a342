"""Base class of data modules whose texts are tokenized once and cached."""

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from platformdirs import user_cache_path

from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.errors import UserError
from rnn_lab.io.cache import get_or_build
from rnn_lab.io.hashing import hash_of
from rnn_lab.text.corpus import FORMAT, Corpus, CorpusBuilder, Sources

log = logging.getLogger(__name__)


class CorpusDataModule(LabDataModule):
    """Data module of a cached corpus of tokenized texts.

    A subclass implements how the records of each split are read (`sources`), what they depend on
    (`fingerprint`), and how the corpus is built (`corpus_builder`).
    """

    _restored: Any = None  # preprocessing of a checkpoint, used instead of fitting a new one

    def __init__(self, batch_size: int = 64) -> None:
        super().__init__(batch_size)
        self._corpora: dict[tuple[str, ...], Any] = {}

    @abstractmethod
    def sources(self) -> dict[str, Callable[[], Iterable[Any]]]:
        """Return a reader of the records of each split that the dataset provides."""

    @abstractmethod
    def fingerprint(self, split: str) -> Any:
        """Return everything that the records of a split depend on, as plain values."""

    @abstractmethod
    def corpus_builder(self) -> CorpusBuilder:
        """Create the builder of the corpus."""

    def _prepare(self, sources: Sources) -> Corpus:
        """Open the corpus of the sources; build it first if it is not in the cache."""
        builder = self.corpus_builder()
        key = {
            "format": FORMAT,
            "corpus": type(builder).__name__,
            "sources": {name: self.fingerprint(name) for name in sources},
            **builder.key,
        }
        cache = user_cache_path("rnn_lab") / "prepared"
        folder = get_or_build(cache, key, partial(builder.build, sources=sources))
        return builder.corpus_class(folder)

    def corpus(self, split: str = "train") -> Any:
        """Open the corpus that contains a split; build it first if it is not in the cache.

        With the vocabulary of a checkpoint, a split is prepared without the other splits.
        """
        sources = self.sources()
        if self._restored and split in sources and split != "train":
            sources = {split: sources[split]}
        names = tuple(sources)
        if names not in self._corpora:
            corpus = self._corpora[names] = self._prepare(sources)
            for notice in corpus.notices:
                log.info("%s: %s", type(self).__name__, notice)
        return self._corpora[names]

    def split(self, name: str) -> Any:
        """Open a split, `train`, `valid` or `test`.

        Raises:
            UserError: If there is no such split.
        """
        sources = self.sources()
        splits = self.corpus(name).splits if name in sources or "train" in sources else {}
        if name not in splits:
            raise UserError(
                f"{type(self).__name__} has no {name} split: {self.missing_split_hint(name)}"
            )
        return splits[name]

    def data_version(self) -> str:
        """Return a hash of what the records of all splits depend on."""
        return hash_of({name: self.fingerprint(name) for name in self.sources()})

    def missing_split_hint(self, split: str) -> str:
        """Return what an error message recommends if a split is missing."""
        return f"its splits are {', '.join(self.corpus(split).splits)}"
