"""Long texts that go on from batch to batch: the data module, the user's own files, a made-up one.

A split is one row of ids, line after line, each closed by a line end. It is cut into as many rows
as a batch has, and these into steps: the next batch goes on where the last one stopped.
"""

import json
import math
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from platformdirs import user_cache_path
from torch.utils.data import Sampler

import rnn_lab
from rnn_lab.batches import StreamBatch
from rnn_lab.checkpoint import revived, saved_data
from rnn_lab.data import synthetic
from rnn_lab.data.corpus import in_chunks
from rnn_lab.data.module import CorpusDataModule
from rnn_lab.data.vocabulary import SUBWORDS, TextReader, TextSettings, TokenizerName
from rnn_lab.errors import UserError
from rnn_lab.io.cache import prepared
from rnn_lab.io.hashing import file_sha256
from rnn_lab.io.progress import progress
from rnn_lab.io.ragged import open_memmap
from rnn_lab.io.records import read_records
from rnn_lab.special_tokens import IGNORED, UNK_ID

FORMAT = 1  # raise it when anything below changes what is written
LINE_END = 0  # its id: where a line of the text ends
SPREAD = 5.0  # standard deviation of the steps of a batch, where they vary
HALVED = 0.05  # share of the batches that then have half the steps

Lines = Callable[[], Iterable[str]]


class StreamReader(TextReader):
    """Turns lines into ids, each closed by a line end, and ids back into text."""

    special_words: ClassVar[list[str]] = ["<eos>", "<unk>"]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Name the words of some ids, line ends among them."""
        return [self.words[i] for i in ids]

    def encode_lines(self, lines: Iterable[str]) -> list[int]:
        """Read lines as one row of ids, a line end after each."""
        return [i for line in self.encode(list(lines)) for i in (*line, LINE_END)]

    def text(self, ids: Iterable[int]) -> str:
        """Write ids as text: a line end as a line feed, spaces where the tokeniser took some."""
        lines: list[list[str]] = [[]]
        for i in ids:
            if i == LINE_END:
                lines.append([])
            else:
                lines[-1].append(self.words[i])
        return "\n".join(map(self._joined, lines))

    def _joined(self, words: list[str]) -> str:
        if self.settings.tokenizer == "characters":
            return "".join(words)
        if self.settings.tokenizer in SUBWORDS:
            return "".join(words).replace("▁", " ").strip()
        return " ".join(words)


class Span(NamedTuple):
    """What one batch takes of a stream.

    Attributes:
        starts: Where each row goes on, `(batch,)`.
        ends: Where the part of each row ends, `(batch,)`.
        steps: Steps of the batch.
        fresh: Whether it is the first of its epoch.
        weight: Steps over the usual number, where the number varies.
    """

    starts: np.ndarray
    ends: np.ndarray
    steps: int
    fresh: bool
    weight: float


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

    def __getitem__(self, span: Span) -> StreamBatch:
        """Give the words of a span, and the words after them."""
        places = span.starts[:, None] + np.arange(span.steps + 1)
        # Rows differ in length by one at the most: the shorter read one word without a target.
        found = self.ids[np.minimum(places, len(self.ids) - 1)].astype(np.int64)
        tokens, targets = found[:, :-1], found[:, 1:].copy()
        targets[places[:, :-1] >= span.ends[:, None]] = IGNORED
        return StreamBatch(
            torch.from_numpy(np.ascontiguousarray(tokens)),
            torch.from_numpy(targets),
            span.fresh,
            span.weight,
        )


class StreamPlan(Sampler[Span]):
    """Cuts a stream into rows that are read side by side, and the rows into batches.

    Every word but the first is a target once, whatever the numbers. All epochs have as many
    batches, and all processes.

    Args:
        words: Words of the stream.
        rows: Rows of all processes together; fewer where there are fewer words to predict.
        bptt: Steps of a batch at the most; about, where they vary.
        vary: Whether the steps of a batch are drawn by the seed and the epoch.
        seed: What the draw depends on, together with the epoch.
        rank: Number of this process.
        world: Number of processes.

    Raises:
        ValueError: If there is no word to predict for one of the processes.
    """

    def __init__(
        self,
        words: int,
        rows: int,
        bptt: int,
        *,
        vary: bool = False,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        rows = min(rows, words - 1)
        if rows < world:
            raise ValueError(f"a text of {words} words is too short for {world} processes")
        bounds = (words - 1) * np.arange(rows + 1) // rows
        self.starts, self.ends = bounds[:-1][rank::world], bounds[1:][rank::world]
        self.length = math.ceil((words - 1) / rows)
        self.bptt, self.vary, self.seed = bptt, vary, seed
        self.epoch = 0
        self.start = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to plan; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        if not self.vary:
            return math.ceil(self.length / self.bptt)
        return max(1, round(self.length / (self.bptt * (1 - HALVED / 2))))

    def __iter__(self) -> Iterator[Span]:
        start, self.start = self.start, 0
        yield from self.plan(self.epoch)[start:]

    def plan(self, epoch: int = 0) -> list[Span]:
        """Plan an epoch of this process."""
        cuts = self._cuts(epoch)
        return [
            Span(
                self.starts + begin,
                self.ends,
                end - begin,
                fresh=begin == 0,
                weight=(end - begin) / self.bptt if self.vary else 1.0,
            )
            for begin, end in zip([0, *cuts[:-1]], cuts, strict=True)
        ]

    def _cuts(self, epoch: int) -> list[int]:
        """Where the batches end; what is drawn is stretched a little to fill the rows."""
        count = len(self)
        if not self.vary:
            return [self.length * i // count for i in range(1, count + 1)]
        rng = np.random.default_rng((self.seed, epoch))
        usual = np.where(rng.random(count) < HALVED, self.bptt / 2, self.bptt)
        ends = np.maximum(rng.normal(usual, SPREAD), SPREAD).cumsum()
        return (ends * (self.length / ends[-1])).round().astype(int).tolist()


class StreamCorpus:
    """Prepared streams: their ids and their reader.

    Args:
        folder: Where `prepared` has put them.
    """

    def __init__(self, folder: Path) -> None:
        meta = json.loads((folder / "stream.json").read_text(encoding="utf-8"))
        self.notices: list[str] = meta["notices"]
        self.reader = StreamReader.from_state_dict(meta["reader"])
        self.splits = {
            name: Stream(folder / f"{name}.ids.bin", meta["dtype"]) for name in meta["splits"]
        }


def build_streams(
    folder: Path,
    sources: Mapping[str, Lines],
    settings: TextSettings,
    reader: StreamReader | None = None,
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
        reader = StreamReader.learn(settings, lines)
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


def _encoded(reader: StreamReader, lines: Iterable[str]) -> Iterator[list[int]]:
    for _, rows in in_chunks(reader.encode, lines):
        yield [i for row in rows for i in (*row, LINE_END)]


class StreamDataModule(CorpusDataModule):
    """Long texts for language models: read once, kept as ids, given in pieces that go on.

    Each split is cut into rows that are read side by side; a batch holds the next steps of all of
    them, and only the first of an epoch is fresh. Every word after the first is predicted once,
    whatever the numbers. The vocabulary is learned from the training split only. What was prepared
    lies in the user's cache folder under a hash of the files and of the settings.

    Args:
        batch_size: Rows that one process trains on side by side.
        bptt: Steps of a batch, at the most; gradients go no further back.
        vary: Whether the steps of a training batch are drawn anew for each epoch, about `bptt` of
            them and now and then half as many; the learning rate follows them.
        eval_rows: Rows that validation and test are cut into, all processes together, whatever
            the batch size is. Each begins without knowing what came before: with one, nothing is
            read so, and it takes longest.
        root: Folder of datasets; None takes `RNN_LAB_DATA`, else the user's cache folder.
        tokenizer: `words`, `whitespace`, `characters`, `bpe` or `unigram`; None is the
            dataset's own.
        lowercase: Whether case is dropped; None is the dataset's own.
        min_freq: How often a word must occur in training to be known.
        max_size: Known words at the most, the most frequent ones; None for no limit. Perplexities
            of unlike vocabularies cannot be compared.
        reader_from: Checkpoint whose vocabulary is used instead of learning one.

    Raises:
        UserError: If a number has no meaning.
    """

    gives = StreamBatch
    local: ClassVar[tuple[str, ...]] = ("root", "reader_from")
    own_tokenizer: ClassVar[TokenizerName] = "words"
    own_lowercase: ClassVar[bool] = False

    def __init__(
        self,
        batch_size: int = 20,
        bptt: int = 35,
        *,
        vary: bool = False,
        eval_rows: int = 10,
        root: str | None = None,
        tokenizer: TokenizerName | None = None,
        lowercase: bool | None = None,
        min_freq: int = 1,
        max_size: int | None = None,
        reader_from: str | None = None,
    ) -> None:
        super().__init__(batch_size)
        least = 2 * SPREAD if vary else 2
        if bptt < least:
            wish = "with vary=true" if vary else "to carry a gradient"
            raise UserError(f"bptt must be at least {least:.0f} {wish}, got {bptt}")
        if eval_rows < 1:
            raise UserError(f"eval_rows must be at least 1, got {eval_rows}")
        self.bptt, self.vary, self.eval_rows = bptt, vary, eval_rows
        self.root = root
        self.settings = TextSettings(
            tokenizer or self.own_tokenizer,
            self.own_lowercase if lowercase is None else lowercase,
            min_freq,
            max_size,
        )
        self._given = read_back(reader_from) if reader_from else None

    def _prepare(self, sources: dict[str, Lines]) -> StreamCorpus:
        folder = prepared(
            user_cache_path("rnn_lab") / "prepared",
            {
                "stream": FORMAT,
                "content": {name: self.content(name) for name in sources},
                "settings": asdict(self.settings),
                "reader": self._given.state_dict() if self._given else None,
            },
            lambda folder: build_streams(folder, sources, self.settings, self._given),
        )
        return StreamCorpus(folder)

    def _buckets(self, name: str, shuffle: bool) -> Any:
        world = self.trainer.world_size if self.trainer else 1
        rows = self.batch_size * world if shuffle else max(self.eval_rows, world)
        try:
            return StreamPlan(
                len(self.split(name)),
                rows,
                self.bptt,
                vary=self.vary and shuffle,
                seed=int(os.environ.get("PL_GLOBAL_SEED", "0")),  # what seed_everything was given
                rank=self.trainer.global_rank if self.trainer else 0,
                world=world,
            )
        except ValueError as error:
            raise UserError(f"{type(self).__name__}, {name}: {error}") from error

    @property
    def reader(self) -> StreamReader:
        """Reads raw text as in training, and writes text."""
        return self._given or self.corpus().reader

    @property
    def vocab_size(self) -> int:
        """Words in the vocabulary, the unknown word and the line end included."""
        return len(self.reader)

    def recipe(self) -> dict[str, Any]:
        """Say how to build this module elsewhere and how it reads raw text, as plain values."""
        return {**super().recipe(), "reader": {"stream": self.reader.state_dict()}}


def read_back(checkpoint: str) -> StreamReader:
    """Take the reader of a language model out of a checkpoint."""
    data = saved_data(checkpoint)
    if "stream" not in data.get("reader", {}):
        raise UserError(f"{checkpoint} models no text: it was trained on {data['class_path']}")
    return revived(checkpoint, StreamReader.from_state_dict, data["reader"]["stream"])


class TextStream(StreamDataModule):
    """Your own texts, a sentence or a paragraph a line.

    Args:
        train: File to train on, also as `.gz`.
        valid: What to validate on; None takes the end of `train`.
        test: What to test on.
        encoding: How the text is encoded, such as `utf-8` or `cp1252`.
        valid_fraction: Part of `train` to validate on where no file is given.
        batch_size: See `StreamDataModule`, as all that follow.
    """

    local = (*StreamDataModule.local, "train", "valid", "test")

    def __init__(
        self,
        train: str | None = None,
        valid: str | None = None,
        test: str | None = None,
        *,
        encoding: str = "utf-8",
        valid_fraction: float = 0.1,
        batch_size: int = 20,
        bptt: int = 35,
        vary: bool = False,
        eval_rows: int = 10,
        tokenizer: TokenizerName | None = None,
        lowercase: bool | None = None,
        min_freq: int = 1,
        max_size: int | None = None,
        reader_from: str | None = None,
    ) -> None:
        super().__init__(
            batch_size,
            bptt,
            vary=vary,
            eval_rows=eval_rows,
            tokenizer=tokenizer,
            lowercase=lowercase,
            min_freq=min_freq,
            max_size=max_size,
            reader_from=reader_from,
        )
        if train is None and not reader_from:
            raise UserError("TextStream needs a file to train on: give --data.train=FILE")
        if not 0 < valid_fraction < 1:
            raise UserError(f"valid_fraction must be between 0 and 1, got {valid_fraction}")
        self.encoding, self.valid_fraction = encoding, valid_fraction
        self.files = {
            name: Path(path).expanduser()
            for name, path in (("train", train), ("valid", valid), ("test", test))
            if path is not None
        }

    def sources(self) -> dict[str, Lines]:
        """Read each file that was given; the end of the first one if there is none to validate."""
        found: dict[str, Lines] = {
            name: partial(lines_of, path, self.encoding) for name, path in self.files.items()
        }
        if "train" in found and "valid" not in found:
            whole, cut = found["train"], 1 - self.valid_fraction
            found["train"] = partial(stretch, whole, 0.0, cut)
            found["valid"] = partial(stretch, whole, cut, 1.0)
        return found

    def content(self, split: str) -> Any:
        """The digest of the file, and how it is read."""
        own = split in self.files
        part = None if "valid" in self.files or split == "test" else self.valid_fraction
        return [file_sha256(self.files[split if own else "train"]), self.encoding, part]

    def wish(self, split: str) -> str:
        """Name the option that would give the split."""
        return f"give --data.{split}=FILE"


def lines_of(path: Path, encoding: str = "utf-8") -> Iterator[str]:
    """Read the lines of a file, also of a `.gz`."""
    for record in read_records(path, format="txt", encoding=encoding, labelled=False):
        yield record.text


def stretch(read: Lines, begin: float, end: float) -> Iterator[str]:
    """Give the lines that begin in a stretch of a text.

    Args:
        read: Reads the lines of the text.
        begin: Where the stretch begins, as a fraction of the characters.
        end: Where it ends.
    """
    total = sum(len(line) + 1 for line in read())
    place = 0
    for line in read():
        if begin * total <= place < end * total:
            yield line
        place += len(line) + 1


class SyntheticText(StreamDataModule):
    """Generated film reviews, one after the other; nothing is downloaded.

    Args:
        train_size: Reviews to train on, a line each.
        valid_size: Reviews to validate on.
        test_size: Reviews to test on.
        data_seed: Another seed draws other reviews.
        batch_size: See `StreamDataModule`, as all that follow.
    """

    own_lowercase = True

    def __init__(
        self,
        train_size: int = 5000,
        valid_size: int = 500,
        test_size: int = 500,
        data_seed: int = 0,
        *,
        batch_size: int = 20,
        bptt: int = 35,
        vary: bool = False,
        eval_rows: int = 10,
        tokenizer: TokenizerName | None = None,
        reader_from: str | None = None,
    ) -> None:
        super().__init__(
            batch_size,
            bptt,
            vary=vary,
            eval_rows=eval_rows,
            tokenizer=tokenizer,
            reader_from=reader_from,
        )
        self.sizes = {"train": train_size, "valid": valid_size, "test": test_size}
        for name, size in self.sizes.items():
            if size < 1:
                raise UserError(f"{name}_size must be at least 1, got {size}")
        self.data_seed = data_seed

    def sources(self) -> dict[str, Lines]:
        """Draw each split."""
        return {name: partial(self._draw, name) for name in self.sizes}

    def _draw(self, split: str) -> Iterator[str]:
        for text, _ in synthetic.reviews(self.sizes[split], self.data_seed, split):
            yield text

    def content(self, split: str) -> Any:
        """The version of the grammar, the size and the seed."""
        return ["SyntheticText", rnn_lab.__version__, self.sizes[split], self.data_seed]
