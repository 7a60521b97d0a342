"""Corpus of running text: the token ids of each split as one sequence."""

from array import array
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rnn_lab.errors import UserError
from rnn_lab.io.progress import progress
from rnn_lab.io.ragged import open_memmap
from rnn_lab.special_tokens import IGNORE_INDEX, UNK_ID
from rnn_lab.tasks.language_modeling.batch import LMBatch
from rnn_lab.tasks.language_modeling.sampler import Segment
from rnn_lab.tasks.language_modeling.tokenizer import LINE_END, LMTokenizer
from rnn_lab.text.corpus import Corpus, CorpusBuilder
from rnn_lab.text.tokenizer import TokenizerConfig, encode_in_chunks

Lines = Callable[[], Iterable[str]]


class TokenSequence:
    """The token ids of one split, read from disk on demand.

    Args:
        path: File of the ids.
        dtype: Type of the ids.
    """

    def __init__(self, path: Path, dtype: str) -> None:
        self.ids = open_memmap(path, dtype)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, segment: Segment) -> LMBatch:
        """Gather the tokens of a segment and, as targets, the tokens after them."""
        indices = segment.starts[:, None] + np.arange(segment.steps + 1)
        # Rows differ in length by at most one: a shorter row has a last token without target.
        ids = self.ids[np.minimum(indices, len(self.ids) - 1)].astype(np.int64)
        tokens, targets = ids[:, :-1], ids[:, 1:].copy()
        targets[indices[:, :-1] >= segment.ends[:, None]] = IGNORE_INDEX
        return LMBatch(
            torch.from_numpy(np.ascontiguousarray(tokens)),
            torch.from_numpy(targets),
            segment.reset_state,
            segment.lr_scale,
        )


class LMCorpus(Corpus):
    """An opened corpus of running text.

    Args:
        folder: Folder of the corpus.
    """

    tokenizer_class = LMTokenizer
    splits: dict[str, TokenSequence]

    def open_split(self, folder: Path, name: str) -> TokenSequence:
        """Open a split."""
        return TokenSequence(folder / f"{name}.ids.bin", self.metadata["dtype"])


class LMCorpusBuilder(CorpusBuilder):
    """Build a corpus of running text from the lines of each split.

    Args:
        settings: Options of the tokenizer that is learned.
        tokenizer: A tokenizer to use; None: learn one from the training split.
    """

    corpus_class = LMCorpus

    def __init__(self, settings: TokenizerConfig, tokenizer: LMTokenizer | None = None) -> None:
        super().__init__(tokenizer)
        self.settings = settings

    @property
    def key(self) -> dict[str, Any]:
        """See `CorpusBuilder`."""
        return {
            "settings": asdict(self.settings),
            "tokenizer": self.tokenizer.state_dict() if self.tokenizer else None,
        }

    def learn(self, train: Lines) -> LMTokenizer:
        """Learn a tokenizer from the lines of the training split."""
        return LMTokenizer.learn(self.settings, progress(train(), "learning the vocabulary"))

    def write_split(self, folder: Path, name: str, split: Lines) -> None:
        """Encode and write the lines of a split.

        Raises:
            UserError: If the split has no target.
        """
        num_tokens = num_unknown = 0
        typecode, _ = self._id_type()
        lines = progress(split(), f"encoding {name}")
        with open(folder / f"{name}.ids.bin", "wb") as file:
            for _, rows in encode_in_chunks(self.tokenizer.encode, lines):
                ids = [i for row in rows for i in (*row, LINE_END)]
                array(typecode, ids).tofile(file)
                num_tokens += len(ids)
                num_unknown += ids.count(UNK_ID)
        if num_tokens < 2:
            raise UserError(f"the {name} split is empty")
        unknown = f"{num_unknown / num_tokens:.1%} of them unknown"
        noun = "characters" if self.tokenizer.unit == "character" else "tokens"
        self.notices.append(f"the {name} split has {num_tokens:,} {noun}, {unknown}")

    def _id_type(self) -> tuple[str, str]:
        """Return the smallest type of the ids, as typecode of an array and as dtype."""
        return ("H", "<u2") if len(self.tokenizer) <= 1 << 16 else ("i", "<i4")

    def metadata(self) -> dict[str, Any]:
        """Return the type of the ids, and add the size of the vocabulary to the notices."""
        vocabulary = f"the vocabulary has {len(self.tokenizer):,} {self.tokenizer.unit}s"
        return {"dtype": self._id_type()[1], "notices": [*self.notices, vocabulary]}
