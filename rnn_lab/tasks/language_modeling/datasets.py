"""Benchmark datasets of language modeling."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from rnn_lab.errors import UserError
from rnn_lab.io.downloads import RemoteFile, locate
from rnn_lab.io.hashing import file_sha256
from rnn_lab.tasks.language_modeling.corpus import Lines
from rnn_lab.tasks.language_modeling.data import (
    LanguageModelingDataModule,
    lines_between,
    read_lines,
)
from rnn_lab.text.tokenizer import TokenizerConfig

EXAMPLES = (
    "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2/"
)
CHAR_RNN = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/"


class WikiText2(LanguageModelingDataModule):
    """WikiText-2, verified articles of Wikipedia: 2,088,628 / 217,646 / 245,569 tokens.

    End-of-line tokens are counted. The text is split at white space only, as it is published
    tokenized, with rare words replaced by `<unk>`: the vocabulary has 33,278 tokens. Published
    perplexities are over this vocabulary: results with `tokenizer.max_vocab_size` or
    `tokenizer.min_freq` cannot be compared to them.

    Source: Merity et al. (2017), https://arxiv.org/abs/1609.07843; CC BY-SA 3.0.
    """

    folder: ClassVar[str] = "wikitext2"
    default_tokenizer = TokenizerConfig("whitespace", lowercase=False)
    lines: ClassVar = {"train": 36_718, "valid": 3760, "test": 4358}
    files: ClassVar = {
        "train": RemoteFile("wiki.train.tokens", (f"{EXAMPLES}train.txt",), size=10_797_148),
        "valid": RemoteFile("wiki.valid.tokens", (f"{EXAMPLES}valid.txt",), size=1_121_681),
        "test": RemoteFile("wiki.test.tokens", (f"{EXAMPLES}test.txt",), size=1_256_449),
    }

    def sources(self) -> dict[str, Lines]:
        """Return a reader for each file."""
        return {name: partial(self._read, name) for name in self.files}

    def fingerprint(self, split: str) -> Any:
        """Return the hash of the file."""
        return ["WikiText2", file_sha256(self._path(split))]

    def _path(self, split: str) -> Path:
        return locate(self.folder, self.files[split], self.root)

    def _read(self, split: str) -> Iterator[str]:
        count = 0
        for line in read_lines(self._path(split)):
            count += 1
            yield line
        if count != self.lines[split]:
            raise UserError(
                f"the {split} split of WikiText2 has {count} lines instead of "
                f"{self.lines[split]}: {self._path(split)} is incomplete, download it again"
            )


class TinyShakespeare(LanguageModelingDataModule):
    """Tiny Shakespeare, plays for character-level language modeling: 1,115,394 characters.

    There is no official split: the first 90 % are the training split, the next 5 % validation and
    the last 5 % test, cut at line ends.

    Source: Karpathy (2015), https://github.com/karpathy/char-rnn; the text is in the public domain.
    """

    folder: ClassVar[str] = "tinyshakespeare"
    default_tokenizer = TokenizerConfig("characters", lowercase=False)
    file: ClassVar = RemoteFile("input.txt", (f"{CHAR_RNN}input.txt",), size=1_115_394)
    parts: ClassVar = {"train": (0.0, 0.9), "valid": (0.9, 0.95), "test": (0.95, 1.0)}

    def sources(self) -> dict[str, Lines]:
        """Return a reader for each part of the file."""
        read = partial(read_lines, self._path())
        return {name: partial(lines_between, read, *part) for name, part in self.parts.items()}

    def fingerprint(self, split: str) -> Any:
        """Return the hash of the file, and the part."""
        return ["TinyShakespeare", file_sha256(self._path()), self.parts[split]]

    def _path(self) -> Path:
        return locate(self.folder, self.file, self.root)
