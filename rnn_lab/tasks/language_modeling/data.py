"""Data modules of language modeling: the base class, the user's own files, generated text.

A split is one sequence of token ids: its lines, each followed by the end-of-line token. It is cut
into as many rows as a batch has, and the rows into segments; the next batch continues all rows.
"""

import os
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import rnn_lab
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.generated import TEXT_BYTES, check_split_sizes
from rnn_lab.core.options import as_options
from rnn_lab.errors import UserError
from rnn_lab.io.hashing import file_sha256
from rnn_lab.io.records import read_records
from rnn_lab.tasks.language_modeling.batch import LMBatch
from rnn_lab.tasks.language_modeling.corpus import Lines, LMCorpusBuilder
from rnn_lab.tasks.language_modeling.sampler import SPREAD, BPTTSampler
from rnn_lab.tasks.language_modeling.tokenizer import LMTokenizer
from rnn_lab.text.datamodule import CorpusDataModule
from rnn_lab.text.reviews import reviews
from rnn_lab.text.tokenizer import TokenizerConfig

FORMATS = {".jsonl": "jsonl", ".json": "jsonl", ".parquet": "parquet"}  # others are plain text


class LanguageModelingDataModule(CorpusDataModule):
    """Text for language models in segments for truncated backpropagation through time.

    Each split is cut into rows that are read in parallel; a batch holds the next segment of each
    row, and only the first batch of an epoch resets the recurrent state. Every token after the
    first is a target exactly once, whatever the batch size. The vocabulary is learned from the
    training split only. Token ids are cached in the user's cache folder under a hash of the files
    and the tokenizer options.

    Args:
        batch_size: Rows per process in training.
        bptt: Maximum number of steps of a batch; gradients flow back no further.
        variable_bptt: If True, the number of steps of each training batch is sampled: about `bptt`,
            sometimes half of it (Merity et al., 2018). The learning rate is scaled with it.
        eval_batch_size: Rows of validation and test over all processes, independent of
            `batch_size`. Each row starts without context: with 1 only the first token of the split
            does, at the cost of speed.
        root: Folder of datasets; None: the environment variable `RNN_LAB_DATA`, or else the
            user's cache folder.
        tokenizer: Options of the tokenizer and its vocabulary. Perplexities of different
            vocabularies cannot be compared.
        vocab_from_checkpoint: Checkpoint whose tokenizer is used instead of learning one.

    Raises:
        UserError: If a number is out of range.
    """

    batch_type = LMBatch
    linked = ("vocab_size",)
    checkpoint_argument = "vocab_from_checkpoint"
    fitted_arguments = ("tokenizer",)
    machine_specific: ClassVar[tuple[str, ...]] = ("root", "vocab_from_checkpoint")
    default_tokenizer: ClassVar[TokenizerConfig] = TokenizerConfig("words", lowercase=False)

    def __init__(
        self,
        batch_size: int = 20,
        bptt: int = 35,
        variable_bptt: bool = False,
        eval_batch_size: int = 10,
        *,
        root: str | None = None,
        tokenizer: TokenizerConfig | None = None,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
        super().__init__(batch_size)
        minimum = 2 * SPREAD if variable_bptt else 2
        if bptt < minimum:
            mode = " with variable_bptt=true" if variable_bptt else ""
            raise UserError(f"bptt must be at least {minimum:.0f}{mode}, got {bptt}")
        if eval_batch_size < 1:
            raise UserError(f"eval_batch_size must be at least 1, got {eval_batch_size}")
        self.bptt, self.variable_bptt, self.eval_batch_size = bptt, variable_bptt, eval_batch_size
        self.root = root
        options = as_options(TokenizerConfig, tokenizer)
        self.tokenizer_options = options.with_defaults(**asdict(self.default_tokenizer))
        self._restored = load_tokenizer(vocab_from_checkpoint) if vocab_from_checkpoint else None

    def corpus_builder(self) -> LMCorpusBuilder:
        """Create the builder of the corpus."""
        return LMCorpusBuilder(self.tokenizer_options, self._restored)

    def _make_sampler(self, name: str, shuffle: bool) -> Any:
        world_size = self.trainer.world_size if self.trainer else 1
        rows = self.batch_size * world_size if shuffle else max(self.eval_batch_size, world_size)
        try:
            return BPTTSampler(
                len(self.split(name)),
                rows,
                self.bptt,
                variable_bptt=self.variable_bptt and shuffle,
                seed=int(os.environ.get("PL_GLOBAL_SEED", "0")),  # set by seed_everything
                rank=self.trainer.global_rank if self.trainer else 0,
                world_size=world_size,
            )
        except ValueError as error:
            raise UserError(f"{type(self).__name__}, {name}: {error}") from error

    @property
    def tokenizer(self) -> LMTokenizer:
        """The tokenizer with its vocabulary."""
        return self._restored or self.corpus().tokenizer

    @property
    def vocab_size(self) -> int:
        """Size of the vocabulary, the unknown and the end-of-line token included."""
        return len(self.tokenizer)

    def build_spec(self) -> dict[str, Any]:
        """Return the build specification with the state of the tokenizer, as plain values."""
        return {**super().build_spec(), "tokenizer": self.tokenizer.state_dict()}


def load_tokenizer(path: str) -> LMTokenizer:
    """Load the tokenizer of a language model from its checkpoint."""
    checkpoint = Checkpoint.open(path)
    if not issubclass(checkpoint.data_class, LanguageModelingDataModule):
        source = checkpoint.data["class_path"]
        raise UserError(
            f"vocab_from_checkpoint={path} is not a language-model checkpoint: its data is {source}"
        )
    return checkpoint.restore(LMTokenizer.from_state_dict, checkpoint.data["tokenizer"])


class LanguageModelingFiles(LanguageModelingDataModule):
    """Text files of your own for language modeling, with a sentence or a paragraph per line.

    Args:
        train: Training file, plain or `.gz`; or a JSONL or Parquet file with a column of texts.
        valid: Validation file; None: the end of `train` is held out.
        test: Test file.
        encoding: Encoding of the files, such as `utf-8` or `cp1252`.
        valid_fraction: Fraction of `train` that is held out if there is no `valid`; None: a tenth.
        text_column: Column of the texts in JSONL and Parquet files.
        batch_size: See `LanguageModelingDataModule`, also for the arguments below.
    """

    machine_specific = (*LanguageModelingDataModule.machine_specific, "train", "valid", "test")
    default_valid_fraction: ClassVar[float] = 0.1

    def __init__(
        self,
        train: str | None = None,
        valid: str | None = None,
        test: str | None = None,
        *,
        encoding: str = "utf-8",
        valid_fraction: float | None = None,
        text_column: str = "text",
        batch_size: int = 20,
        bptt: int = 35,
        variable_bptt: bool = False,
        eval_batch_size: int = 10,
        tokenizer: TokenizerConfig | None = None,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
        segments = batch_size, bptt, variable_bptt, eval_batch_size
        super().__init__(
            *segments, tokenizer=tokenizer, vocab_from_checkpoint=vocab_from_checkpoint
        )
        if train is None and not vocab_from_checkpoint:
            raise UserError("LanguageModelingFiles needs a training file: set --data.train=FILE")
        if valid_fraction is None:
            valid_fraction = self.default_valid_fraction
        elif valid is not None:
            raise UserError("valid_fraction has no effect if valid is set: remove one of them")
        if not 0 < valid_fraction < 1:
            raise UserError(f"valid_fraction must be between 0 and 1, got {valid_fraction}")
        self.encoding, self.valid_fraction = encoding, valid_fraction
        self.text_column = text_column
        self.files = {
            name: Path(path).expanduser()
            for name, path in (("train", train), ("valid", valid), ("test", test))
            if path is not None
        }

    def sources(self) -> dict[str, Lines]:
        """Return a reader for each file; without a validation file `train` is cut in two."""
        sources: dict[str, Lines] = {
            name: partial(read_lines, path, self.encoding, self.text_column)
            for name, path in self.files.items()
        }
        if "train" in sources and "valid" not in sources:
            train, border = sources["train"], 1 - self.valid_fraction
            sources["train"] = partial(lines_between, train, 0.0, border)
            sources["valid"] = partial(lines_between, train, border, 1.0)
        return sources

    def fingerprint(self, split: str) -> Any:
        """Return the hash of the file, the encoding and the fraction that is held out."""
        path = self.files[split if split in self.files else "train"]
        fraction = None if "valid" in self.files or split == "test" else self.valid_fraction
        return [file_sha256(path), path.suffix, self.encoding, self.text_column, fraction]

    def missing_split_hint(self, split: str) -> str:
        """Name the option that provides the split."""
        return f"set --data.{split}=FILE"


def read_lines(path: Path, encoding: str = "utf-8", text_column: str = "text") -> Iterator[str]:
    """Read the lines of a file, plain or `.gz`, or of the texts of a JSONL or Parquet file."""
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    format = FORMATS.get(suffix, "txt")
    options: dict[str, Any] = {"text_column": text_column, "encoding": encoding, "labeled": False}
    hint = "set --data.text_column"
    for record in read_records(path, format=format, column_hint=hint, **options):
        yield from [record.text] if format == "txt" else record.text.split("\n")


def lines_between(read: Lines, begin: float, end: float) -> Iterator[str]:
    """Yield the lines whose first character is in a part of a text.

    Args:
        read: Function that returns the lines of the text; called twice.
        begin: Begin of the part, as a fraction of the characters of the text.
        end: End of the part, excluded.
    """
    total = sum(len(line) + 1 for line in read())
    position = 0
    for line in read():
        if begin * total <= position < end * total:
            yield line
        position += len(line) + 1


class SyntheticText(LanguageModelingDataModule):
    """Generated film reviews as running text; nothing is downloaded.

    Args:
        train_size: Reviews of the training split, one per line.
        valid_size: Reviews of the validation split.
        test_size: Reviews of the test split.
        data_seed: Seed of the reviews.
        batch_size: See `LanguageModelingDataModule`, also for the arguments below.
    """

    default_tokenizer = TokenizerConfig("words", lowercase=True)

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
        tokenizer: TokenizerConfig | None = None,
        vocab_from_checkpoint: str | None = None,
    ) -> None:
        segments = batch_size, bptt, variable_bptt, eval_batch_size
        super().__init__(
            *segments, tokenizer=tokenizer, vocab_from_checkpoint=vocab_from_checkpoint
        )
        self.sizes = {"train": train_size, "valid": valid_size, "test": test_size}
        check_split_sizes(self.sizes, TEXT_BYTES)
        self.data_seed = data_seed

    def sources(self) -> dict[str, Lines]:
        """Return a generator of reviews for each split."""
        return {name: partial(self._generate, name) for name in self.sizes}

    def _generate(self, split: str) -> Iterator[str]:
        for text, _ in reviews(self.sizes[split], self.data_seed, split):
            yield text

    def fingerprint(self, split: str) -> Any:
        """Return the version of the grammar, the size and the seed."""
        return ["SyntheticText", rnn_lab.__version__, self.sizes[split], self.data_seed]
