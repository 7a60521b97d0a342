"""Data that is read once into a prepared corpus, whose splits are opened when asked for."""

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.errors import UserError

log = logging.getLogger(__name__)


class CorpusDataModule(LabDataModule):
    """Data that is read once into a prepared corpus, whose splits are opened when asked for.

    A family gives the sources of its splits, and prepares a corpus from them.
    """

    def __init__(self, batch_size: int = 64) -> None:
        super().__init__(batch_size)
        self._corpora: dict[tuple[str, ...], Any] = {}

    _restored: Any = None  # the reader of a checkpoint, where one is to be used

    @abstractmethod
    def sources(self) -> dict[str, Callable[[], Iterable[Any]]]:
        """Say how to read the records of each split that is given."""

    @abstractmethod
    def fingerprint(self, split: str) -> Any:
        """Say what the records of a split depend on, as plain values."""

    @abstractmethod
    def _prepare(self, sources: dict[str, Callable[[], Iterable[Any]]]) -> Any:
        """Open the corpus of some sources; prepare it first where it is not yet."""

    def corpus(self, split: str = "train") -> Any:
        """Open the prepared corpus that holds a split; prepare it first where it is not yet.

        With the reader of a checkpoint, a split that is given is prepared without the others.
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
        """Open a split, `train`, `valid` or `test`."""
        given = self.sources()
        splits = self.corpus(name).splits if name in given or "train" in given else {}
        if name not in splits:
            raise UserError(
                f"{type(self).__name__} has no {name} split: {self.missing_split_hint(name)}"
            )
        return splits[name]

    def missing_split_hint(self, split: str) -> str:
        """Say what would give a split that is missing."""
        return f"it gives {', '.join(self.corpus(split).splits)}"
