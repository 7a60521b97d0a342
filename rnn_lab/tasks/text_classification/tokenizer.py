"""Tokenizer of text classification: long texts are truncated."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from rnn_lab.errors import UserError
from rnn_lab.text.tokenizer import TextTokenizer, TokenizerConfig


@dataclass(frozen=True)
class TruncatingTokenizerConfig(TokenizerConfig):
    """Options of a tokenizer, its vocabulary and the truncation of long texts.

    Args:
        kind: `words` (a regular expression), `whitespace`, `characters`, or subwords learned
            from the training split: `bpe` (byte-pair encoding) or `unigram` (the model of
            SentencePiece). None: the default of the dataset.
        lowercase: If True, convert text to lower case. None: the default of the dataset.
        min_freq: Occurrences in the training split that a word needs to enter the vocabulary;
            not used by `unigram`.
        max_vocab_size: Limit on the words in the vocabulary, special tokens not counted; the
            most frequent words are kept. For subwords special tokens count, and None is 8000.
        max_length: Tokens after which a text is truncated. None: the default of the dataset.
        truncation_side: The side on which tokens are removed, `right` or `left`.

    Raises:
        UserError: If an option has an invalid value.
    """

    max_length: int | None = None
    truncation_side: Literal["right", "left"] = "right"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_minimum(max_length=1)
        if self.truncation_side not in ("right", "left"):
            raise UserError(
                f"tokenizer.truncation_side must be right or left, got {self.truncation_side!r}"
            )


class TruncatingTokenizer(TextTokenizer):
    """Convert raw text to ids, truncated to a maximal length.

    Args:
        settings: Options; None stands for `words` in lower case and for no truncation.
        words: The vocabulary: the id of a word is its index in the list.
        subwords: The learned subword model as `tokenizers` serializes it; only for subwords.
    """

    settings: TruncatingTokenizerConfig
    settings_class: ClassVar[type[TokenizerConfig]] = TruncatingTokenizerConfig

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Convert texts to ids of at most `max_length`; a text without words gives no id."""
        rows = super().encode(texts)
        limit = self.settings.max_length
        if limit is None:
            return rows
        if self.settings.truncation_side == "right":
            return [row[:limit] for row in rows]
        return [row[-limit:] for row in rows]
