"""A corpus of running text: one row of ids for each split, opened memory-mapped."""

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from rnn_lab.errors import UserError
from rnn_lab.io.progress import progress
from rnn_lab.io.ragged import open_memmap
from rnn_lab.special_tokens import IGNORE_INDEX, UNK_ID
from rnn_lab.tasks.language_modeling.batch import LMBatch
from rnn_lab.tasks.language_modeling.sampler import Segment
from rnn_lab.tasks.language_modeling.tokenizer import LINE_END, LMTokenizer
from rnn_lab.text.tokenizer import TokenizerConfig, encode_in_chunks

FORMAT = 1  # raise it when anything below changes what is written
Lines = Callable[[], Iterable[str]]


class Stream:
    """The ids of one split, read from the disk as they are asked for.

    Args:
        path: File of the ids.
        dtype: Their type.
    """

    def __init__(self, path: Path, dtype: str) -> None:
        self.ids = open_memmap(path, dtype)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, segment: Segment) -> LMBatch:
        """Give the words of a span, and the words after them."""
        places = segment.starts[:, None] + np.arange(segment.steps + 1)
        # Rows differ in length by one at the most: the shorter read one word without a target.
        found = self.ids[np.minimum(places, len(self.ids) - 1)].astype(np.int64)
        tokens, targets = found[:, :-1], found[:, 1:].copy()
        targets[places[:, :-1] >= segment.ends[:, None]] = IGNORE_INDEX
        return LMBatch(
            torch.from_numpy(np.ascontiguousarray(tokens)),
            torch.from_numpy(targets),
            segment.reset_state,
            segment.lr_scale,
        )


class LMCorpus:
    """Prepared streams: their ids and their reader.

    Args:
        folder: Where `prepared` has put them.
    """

    def __init__(self, folder: Path) -> None:
        meta = json.loads((folder / "stream.json").read_text(encoding="utf-8"))
        self.notices: list[str] = meta["notices"]
        self.tokenizer = LMTokenizer.from_state_dict(meta["reader"])
        self.splits = {
            name: Stream(folder / f"{name}.ids.bin", meta["dtype"]) for name in meta["splits"]
        }


def build_streams(
    folder: Path,
    sources: Mapping[str, Lines],
    settings: TokenizerConfig,
    reader: LMTokenizer | None = None,
) -> None:
    """Write prepared streams.

    Args:
        folder: An empty folder.
        sources: The lines of each split, by its name.
        settings: How lines become ids, where there is no reader yet.
        reader: Reads the lines; None learns one from the training split.

    Raises:
        UserError: If a split has nothing to predict.
    """
    if reader is None:
        lines = progress(sources["train"](), "learning the vocabulary")
        reader = LMTokenizer.learn(settings, lines)
    code, dtype = ("H", "<u2") if len(reader) <= 1 << 16 else ("i", "<i4")
    notices = []
    for name, read in sources.items():
        words = unknown = 0
        with open(folder / f"{name}.ids.bin", "wb") as file:
            for ids in _encoded(reader, progress(read(), f"encoding {name}")):
                array(code, ids).tofile(file)
                words += len(ids)
                unknown += ids.count(UNK_ID)
        if words < 2:
            raise UserError(f"the {name} split has no text to read")
        notices.append(f"{name} has {words:,} words, {unknown / words:.1%} of them unknown")
    notices.append(f"the vocabulary has {len(reader):,} words")
    meta = {
        "dtype": dtype,
        "notices": notices,
        "reader": reader.state_dict(),
        "splits": list(sources),
    }
    (folder / "stream.json").write_text(json.dumps(meta), encoding="utf-8")


def _encoded(reader: LMTokenizer, lines: Iterable[str]) -> Iterator[list[int]]:
    for _, rows in encode_in_chunks(reader.encode, lines):
        yield [i for row in rows for i in (*row, LINE_END)]
