"""Long texts that everybody knows, by their names."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from rnn_lab.errors import UserError
from rnn_lab.io.downloads import RemoteFile, locate
from rnn_lab.io.hashing import file_sha256
from rnn_lab.tasks.language_modeling.corpus import Lines
from rnn_lab.tasks.language_modeling.data import LanguageModelingDataModule, lines_of, stretch
from rnn_lab.text.tokenizer import TokenizerKind

EXAMPLES = (
    "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2/"
)
CHAR_RNN = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/"


class WikiText2(LanguageModelingDataModule):
    """Good articles of Wikipedia: 2,088,628 / 217,646 / 245,569 words, line ends counted.

    The publisher's words are read as they are, rare ones already replaced by `<unk>`: a vocabulary
    of 33,278. Published perplexities are over all of them; with `max_vocab_size` or `min_freq` they
    cannot be compared.

    Source: Merity et al. (2017), https://arxiv.org/abs/1609.07843; CC BY-SA 3.0.
    """

    default_tokenizer: ClassVar[TokenizerKind] = "whitespace"
    lines: ClassVar = {"train": 36_718, "valid": 3760, "test": 4358}
    files: ClassVar = {
        "train": RemoteFile("wiki.train.tokens", (f"{EXAMPLES}train.txt",), size=10_797_148),
        "valid": RemoteFile("wiki.valid.tokens", (f"{EXAMPLES}valid.txt",), size=1_121_681),
        "test": RemoteFile("wiki.test.tokens", (f"{EXAMPLES}test.txt",), size=1_256_449),
    }

    def sources(self) -> dict[str, Lines]:
        """Read each split from where it lies."""
        return {name: partial(self._counted, name) for name in self.files}

    def fingerprint(self, split: str) -> Any:
        """The digest of the file."""
        return ["WikiText2", file_sha256(self._path(split))]

    def _path(self, split: str) -> Path:
        return locate("wikitext2", self.files[split], self.root)

    def _counted(self, split: str) -> Iterator[str]:
        count = 0
        for line in lines_of(self._path(split)):
            count += 1
            yield line
        if count != self.lines[split]:
            raise UserError(
                f"the {split} split of WikiText2 has {count} lines, wanted {self.lines[split]}: "
                f"{self._path(split)} is not whole"
            )


class TinyShakespeare(LanguageModelingDataModule):
    """Plays of Shakespeare by character: 1,115,394 of them.

    There is no official split: the first 90 % are trained on, the next 5 % validated and the last
    5 % tested on, cut at the ends of lines.

    Source: Karpathy (2015), https://github.com/karpathy/char-rnn; the text is in the public domain.
    """

    default_tokenizer: ClassVar[TokenizerKind] = "characters"
    file: ClassVar = RemoteFile("input.txt", (f"{CHAR_RNN}input.txt",), size=1_115_394)
    parts: ClassVar = {"train": (0.0, 0.9), "valid": (0.9, 0.95), "test": (0.95, 1.0)}

    def sources(self) -> dict[str, Lines]:
        """Read each part of the file."""
        read = partial(lines_of, self._path())
        return {name: partial(stretch, read, *part) for name, part in self.parts.items()}

    def fingerprint(self, split: str) -> Any:
        """The digest of the file, and the part."""
        return ["TinyShakespeare", file_sha256(self._path()), self.parts[split]]

    def _path(self) -> Path:
        return locate("tinyshakespeare", self.file, self.root)
