"""From lines to ids and back, with line ends."""

from collections.abc import Iterable
from typing import ClassVar

from rnn_lab.text.tokenizer import SUBWORDS, TextTokenizer

LINE_END = 0  # its id: where a line of the text ends


class LMTokenizer(TextTokenizer):
    """Turns lines into ids, each closed by a line end, and ids back into text."""

    special_tokens: ClassVar[list[str]] = ["<eos>", "<unk>"]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Name the words of some ids, line ends among them."""
        return [self.words[i] for i in ids]

    def encode_lines(self, lines: Iterable[str]) -> list[int]:
        """Read lines as one row of ids, a line end after each."""
        return [i for line in self.encode(list(lines)) for i in (*line, LINE_END)]

    def text(self, ids: Iterable[int]) -> str:
        """Write ids as text: a line end as a line feed, spaces where the tokenizer took some."""
        lines: list[list[str]] = [[]]
        for i in ids:
            if i == LINE_END:
                lines.append([])
            else:
                lines[-1].append(self.words[i])
        return "\n".join(map(self._joined, lines))

    def _joined(self, words: list[str]) -> str:
        if self.settings.kind == "characters":
            return "".join(words)
        if self.settings.kind in SUBWORDS:
            return "".join(words).replace("▁", " ").strip()
        return " ".join(words)
