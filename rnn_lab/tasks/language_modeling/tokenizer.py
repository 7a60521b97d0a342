"""Tokenizer of language modeling: lines to ids and back, with end-of-line tokens."""

from collections.abc import Iterable
from typing import ClassVar

from rnn_lab.text.tokenizer import SUBWORDS, TextTokenizer

LINE_END = 0  # id of the end-of-line token


class LMTokenizer(TextTokenizer):
    """Convert lines to ids, each followed by an end-of-line token, and ids back to text."""

    special_tokens: ClassVar[list[str]] = ["<eos>", "<unk>"]

    @property
    def unit(self) -> str:
        """What a token is: a `character`, a `subword` or a `word`."""
        if self.settings.kind in SUBWORDS:
            return "subword"
        return "character" if self.settings.kind == "characters" else "word"

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Return the tokens of some ids, end-of-line tokens included."""
        return [self.words[i] for i in ids]

    def encode_lines(self, lines: Iterable[str]) -> list[int]:
        """Convert lines to one list of ids, with an end-of-line token after each line."""
        return [i for line in self.encode(list(lines)) for i in (*line, LINE_END)]

    def text(self, ids: Iterable[int]) -> str:
        """Convert ids to text: end-of-line tokens become line feeds, words are separated."""
        lines: list[list[str]] = [[]]
        for i in ids:
            if i == LINE_END:
                lines.append([])
            else:
                lines[-1].append(self.words[i])
        return "\n".join(map(self._join, lines))

    def _join(self, words: list[str]) -> str:
        if self.settings.kind == "characters":
            return "".join(words)
        if self.settings.kind in SUBWORDS:
            return "".join(words).replace("▁", " ").strip()
        return " ".join(words)
