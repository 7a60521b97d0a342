"""Long texts that go on from batch to batch: the data module, the user's own files, a made-up one.

A split is one row of ids, line after line, each closed by a line end. It is cut into as many rows
as a batch has, and these into steps: the next batch goes on where the last one stopped.
"""

import os
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from platformdirs import user_cache_path

import rnn_lab
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.errors import UserError
from rnn_lab.io.cache import get_or_build
from rnn_lab.io.hashing import file_sha256
from rnn_lab.io.records import read_records
from rnn_lab.tasks.language_modeling.batch import LMBatch
from rnn_lab.tasks.language_modeling.corpus import FORMAT, Lines, LMCorpus, build_streams
from rnn_lab.tasks.language_modeling.sampler import SPREAD, BPTTSampler
from rnn_lab.tasks.language_modeling.tokenizer import LMTokenizer
from rnn_lab.text.datamodule import CorpusDataModule
from rnn_lab.text.reviews import reviews
from rnn_lab.text.tokenizer import TokenizerConfig, TokenizerKind


class LanguageModelingDataModule(CorpusDataModule):
    """Long texts for language models: read once, kept as ids, given in pieces that go on.

    Each split is cut into rows that are read side by side; a batch holds the next steps of all of
    them, and only the first of an epoch is fresh. Every word after the first is predicted once,
    whatever the numbers. The vocabulary is learned from the training split only. What was prepared
    lies in the user's cache folder under a hash of the files and of the settings.

    Args:
        batch_size: Rows that one process trains on side by side.
        bptt: Steps of a batch, at the most; gradients go no further back.
        variable_bptt: If True, the number of steps of each training batch is sampled: about `bptt`,
            sometimes half of it. The learning rate is scaled with it.
        eval_batch_size: Rows that validation and test are cut into, over all processes, whatever
            the batch size is. Each begins without knowing what came before: with one, nothing is
            read so, and it takes longest.
        root: Folder of datasets; None takes `RNN_LAB_DATA`, else the user's cache folder.
        tokenizer: `words`, `whitespace`, `characters`, `bpe` or `unigram`; None is the
            dataset's own.
        lowercase: Whether case is dropped; None is the dataset's own.
        min_freq: How often a word must occur in training to be known.
        max_vocab_size: Known words at the most, the most frequent ones; None for no limit.
            Perplexities of unlike vocabularies cannot be compared.
        vocab_from_checkpoint: Checkpoint whose vocabulary is used instead of learning one.

    Raises:
        UserError: If a number has no meaning.
    """

    batch_type = LMBatch
    linked = ("vocab_size",)
    checkpoint_argument = "vocab_from_checkpoint"
    machine_specific: ClassVar[tuple[str, ...]] = ("root", "vocab_from_checkpoint")
    default_tokenizer: ClassVar[TokenizerKind] = "words"
    default_lowercase: ClassVar[bool] = False

    def __init__(
        self,
        batch_size: int = 20,
        bptt: int = 35,
        *,
        variable_bptt: bool = False,
        eval_batch_size: int = 10,
        root: str | None = None,
        tokenizer: TokenizerKind | None = None,
        lowercase: bool | None = None,
        min_freq: int = 1,
        max_vocab_size: int | None = None,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
        super().__init__(batch_size)
        least = 2 * SPREAD if variable_bptt else 2
        if bptt < least:
            mode = " with variable_bptt=true" if variable_bptt else ""
            raise UserError(f"bptt must be at least {least:.0f}{mode}, got {bptt}")
        if eval_batch_size < 1:
            raise UserError(f"eval_batch_size must be at least 1, got {eval_batch_size}")
        self.bptt, self.variable_bptt, self.eval_batch_size = bptt, variable_bptt, eval_batch_size
        self.root = root
        self.settings = TokenizerConfig(
            tokenizer or self.default_tokenizer,
            self.default_lowercase if lowercase is None else lowercase,
            min_freq,
            max_vocab_size,
        )
        self._restored = read_back(vocab_from_checkpoint) if vocab_from_checkpoint else None

    def _prepare(self, sources: dict[str, Lines]) -> LMCorpus:
        folder = get_or_build(
            user_cache_path("rnn_lab") / "prepared",
            {
                "stream": FORMAT,
                "content": {name: self.fingerprint(name) for name in sources},
                "settings": asdict(self.settings),
                "reader": self._restored.state_dict() if self._restored else None,
            },
            lambda folder: build_streams(folder, sources, self.settings, self._restored),
        )
        return LMCorpus(folder)

    def _make_sampler(self, name: str, shuffle: bool) -> Any:
        world = self.trainer.world_size if self.trainer else 1
        rows = self.batch_size * world if shuffle else max(self.eval_batch_size, world)
        try:
            return BPTTSampler(
                len(self.split(name)),
                rows,
                self.bptt,
                variable_bptt=self.variable_bptt and shuffle,
                seed=int(os.environ.get("PL_GLOBAL_SEED", "0")),  # what seed_everything was given
                rank=self.trainer.global_rank if self.trainer else 0,
                world_size=world,
            )
        except ValueError as error:
            raise UserError(f"{type(self).__name__}, {name}: {error}") from error

    @property
    def reader(self) -> LMTokenizer:
        """Reads raw text as in training, and writes text."""
        return self._restored or self.corpus().reader

    @property
    def vocab_size(self) -> int:
        """Words in the vocabulary, the unknown word and the line end included."""
        return len(self.reader)

    def build_spec(self) -> dict[str, Any]:
        """Say how to build this module elsewhere and how it reads raw text, as plain values."""
        return {**super().build_spec(), "reader": {"stream": self.reader.state_dict()}}


def read_back(checkpoint: str) -> LMTokenizer:
    """Take the reader of a language model out of a checkpoint."""
    opened = Checkpoint.open(checkpoint)
    if not issubclass(opened.data_class, LanguageModelingDataModule):
        source = opened.data["class_path"]
        raise UserError(f"{checkpoint} models no text: it was trained on {source}")
    return opened.restore(LMTokenizer.from_state_dict, opened.data["reader"]["stream"])


class LanguageModelingFiles(LanguageModelingDataModule):
    """Your own texts, a sentence or a paragraph a line.

    Args:
        train: File to train on, also as `.gz`.
        valid: What to validate on; None takes the end of `train`.
        test: What to test on.
        encoding: How the text is encoded, such as `utf-8` or `cp1252`.
        valid_fraction: Part of `train` to validate on where no file is given.
        batch_size: See `LanguageModelingDataModule`, as all that follow.
    """

    machine_specific = (*LanguageModelingDataModule.machine_specific, "train", "valid", "test")

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
        variable_bptt: bool = False,
        eval_batch_size: int = 10,
        tokenizer: TokenizerKind | None = None,
        lowercase: bool | None = None,
        min_freq: int = 1,
        max_vocab_size: int | None = None,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
        super().__init__(
            batch_size,
            bptt,
            variable_bptt=variable_bptt,
            eval_batch_size=eval_batch_size,
            tokenizer=tokenizer,
            lowercase=lowercase,
            min_freq=min_freq,
            max_vocab_size=max_vocab_size,
            vocab_from_checkpoint=vocab_from_checkpoint,
        )
        if train is None and not vocab_from_checkpoint:
            raise UserError(
                "LanguageModelingFiles needs a file to train on: give --data.train=FILE"
            )
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

    def fingerprint(self, split: str) -> Any:
        """The digest of the file, and how it is read."""
        own = split in self.files
        part = None if "valid" in self.files or split == "test" else self.valid_fraction
        return [file_sha256(self.files[split if own else "train"]), self.encoding, part]

    def missing_split_hint(self, split: str) -> str:
        """Name the option that would give the split."""
        return f"give --data.{split}=FILE"


def lines_of(path: Path, encoding: str = "utf-8") -> Iterator[str]:
    """Read the lines of a file, also of a `.gz`."""
    for record in read_records(path, format="txt", encoding=encoding, labeled=False):
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


class SyntheticText(LanguageModelingDataModule):
    """Generated film reviews, one after the other; nothing is downloaded.

    Args:
        train_size: Reviews to train on, a line each.
        valid_size: Reviews to validate on.
        test_size: Reviews to test on.
        data_seed: Another seed draws other reviews.
        batch_size: See `LanguageModelingDataModule`, as all that follow.
    """

    default_lowercase = True

    def __init__(
        self,
        train_size: int = 5000,
        valid_size: int = 500,
        test_size: int = 500,
        data_seed: int = 0,
        *,
        batch_size: int = 20,
        bptt: int = 35,
        variable_bptt: bool = False,
        eval_batch_size: int = 10,
        tokenizer: TokenizerKind | None = None,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
        super().__init__(
            batch_size,
            bptt,
            variable_bptt=variable_bptt,
            eval_batch_size=eval_batch_size,
            tokenizer=tokenizer,
            vocab_from_checkpoint=vocab_from_checkpoint,
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
        for text, _ in reviews(self.sizes[split], self.data_seed, split):
            yield text

    def fingerprint(self, split: str) -> Any:
        """The version of the grammar, the size and the seed."""
        return ["SyntheticText", rnn_lab.__version__, self.sizes[split], self.data_seed]
