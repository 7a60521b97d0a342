"""Tokenizers for translation: normalize and tokenize sentences, and decode ids to text."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, ClassVar, Self

from rnn_lab.errors import UserError
from rnn_lab.special_tokens import BOS_ID, EOS_ID
from rnn_lab.tasks.translation.detokenization import join_words
from rnn_lab.text.tokenizer import (
    SPECIAL_TOKENS,
    SUBWORDS,
    TextTokenizer,
    TokenizerConfig,
    TokenizerKind,
    split_words,
)

PAIR_TOKENS = [*SPECIAL_TOKENS, "<bos>", "<eos>"]
SPACE = "\u2581"  # marks a space before a word in subwords


@dataclass(frozen=True)
class SentenceTokenizerConfig(TokenizerConfig):
    """Options of the tokenizer and vocabulary of one language, see `TokenizerConfig`.

    Args:
        moses: Language code, such as `en`, of the Moses rules by which punctuation is normalized
            and the text tokenized (hyphens are not split, nothing is escaped); `words` and
            `whitespace` are then separated by spaces. None: the Moses rules are not used.
    """

    kind: TokenizerKind = "words"
    lowercase: bool = True
    moses: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.moses is not None and not (self.moses.isalpha() and self.moses.islower()):
            raise UserError(f"languages must be codes such as en or de, got {self.moses!r}")


@dataclass(frozen=True)
class TranslationTokenizerConfig(TokenizerConfig):
    """Options of the tokenizers and vocabularies of both languages.

    Args:
        kind: `words` (a regular expression), `whitespace`, `characters`, or subwords learned
            from the training split: `bpe` (byte-pair encoding) or `unigram` (the model of
            SentencePiece). None: the default of the dataset.
        lowercase: If True, convert text to lower case. None: the default of the dataset.
        min_freq: Occurrences in the training split that a word needs to enter the vocabulary;
            not used by `unigram`.
        max_vocab_size: Limit on the words of a vocabulary, special tokens not counted; for
            subwords special tokens count. None: the default of the dataset.
        moses: If True, normalize punctuation and tokenize by the Moses rules of each language;
            `words` are then separated by spaces. None: the default of the dataset.
        joint: If True, both languages share one vocabulary. None: the default of the dataset.

    Raises:
        UserError: If an option has an invalid value.
    """

    moses: bool | None = None
    joint: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind in SUBWORDS:
            self.check_minimum(max_vocab_size=len(PAIR_TOKENS) + 1)

    def for_language(self, language: str | None) -> SentenceTokenizerConfig:
        """Return the options of one language, given by its code.

        Raises:
            UserError: If the Moses rules are used and there is no language.
        """
        if self.moses and language is None:
            raise UserError(
                "tokenizer.moses needs the languages: set --data.source=en --data.target=de"
            )
        return SentenceTokenizerConfig(
            self.kind or "words",
            bool(self.lowercase),
            self.min_freq,
            self.max_vocab_size,
            moses=language if self.moses else None,
        )


class Moses:
    """The Moses rules of a language, through sacremoses.

    Args:
        language: Language code; one unknown to Moses uses English abbreviations.
    """

    def __init__(self, language: str) -> None:
        # Imported here because most runs do not use it.
        from sacremoses import MosesDetokenizer, MosesPunctNormalizer, MosesTokenizer

        self._normalizer = MosesPunctNormalizer(language)
        self._tokenizer = MosesTokenizer(language)
        self._detokenizer = MosesDetokenizer(language)

    def tokenize(self, text: str) -> str:
        """Normalize punctuation and separate words and punctuation marks by spaces."""
        return self._tokenizer.tokenize(
            self._normalizer.normalize(text),
            aggressive_dash_splits=False,
            escape=False,
            return_str=True,
        )

    def detokenize(self, text: str) -> str:
        """Remove the spaces that `tokenize` inserted."""
        return self._detokenizer.detokenize(text.split(), unescape=False)


moses = cache(Moses)


def normalize(text: str, settings: SentenceTokenizerConfig) -> str:
    """Normalize raw text to the form that a model is trained on.

    Unicode is composed (NFC), whitespace is collapsed, and words are separated by spaces as the
    settings define them.
    """
    if settings.lowercase:
        text = text.lower()
    text = unicodedata.normalize("NFC", text)
    if settings.kind in SUBWORDS:
        text = text.replace(SPACE, " ")
    if settings.moses is not None:
        text = moses(settings.moses).tokenize(text)
    elif settings.kind == "words":
        return " ".join(split_words(text))
    return " ".join(text.split())


class SentenceTokenizer(TextTokenizer):
    """Convert sentences to ids, and ids to sentences.

    Args:
        settings: Options of the tokenizer.
        words: The vocabulary: the id of a word is its index in the list.
        subwords: The learned subword model as `tokenizers` serializes it; only for subwords.
    """

    settings: SentenceTokenizerConfig
    special_tokens = PAIR_TOKENS
    settings_class: ClassVar[type[TokenizerConfig]] = SentenceTokenizerConfig

    @classmethod
    def splitter(cls, settings: TokenizerConfig) -> Callable[[str], list[str]]:
        """Return the function that splits a normalized sentence into words; unused for subwords."""
        return list if settings.kind == "characters" else str.split

    @classmethod
    def normalizer(cls, settings: TokenizerConfig) -> None:
        """Return None: sentences are normalized before."""

    @classmethod
    def learn(cls, settings: TokenizerConfig, texts: Iterable[str]) -> Self:
        """Learn the vocabulary from the normalized sentences of a training split."""
        return super().learn(settings, texts)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Convert raw sentences to ids without start and end token."""
        return self.encode_normalized(list(map(self.normalize, texts)))

    def encode_normalized(self, texts: list[str]) -> list[list[int]]:
        """Convert normalized sentences to ids."""
        return super().encode(texts)

    def normalize(self, text: str) -> str:
        """Normalize raw text, so that it can be compared with the result of `decode_normalized`."""
        return normalize(text, self.settings)

    def split(self, normalized: str) -> list[str]:
        """Split a normalized sentence into the words of its ids.

        Raises:
            UserError: If the tokenizer uses subwords.
        """
        if self.settings.kind in SUBWORDS:
            raise UserError(f"{self.settings.kind} has subwords: unknown words cannot be replaced")
        return self.splitter(self.settings)(normalized)

    def word_starts(self, ids: Sequence[int]) -> list[int]:
        """Return the position of the first id of each word; all positions without subwords."""
        if self.settings.kind not in SUBWORDS:
            return list(range(len(ids)))
        begins = (i == EOS_ID or self.words[i].startswith(SPACE) for i in ids)
        return [position for position, is_first in enumerate(begins) if is_first or not position]

    def whole_words(self, ids: Sequence[int]) -> list[str]:
        """Return the words of ids, special tokens included; subwords are joined."""
        if self.settings.kind not in SUBWORDS:
            return [self.words[i] for i in ids]
        starts = self.word_starts(ids)
        pairs = zip(starts, [*starts[1:], len(ids)], strict=True)
        words = ("".join(self.words[i] for i in ids[start:end]) for start, end in pairs)
        return [word.removeprefix(SPACE) for word in words]

    def decode_normalized(
        self, ids: Iterable[int], replacements: Mapping[int, str] | None = None
    ) -> str:
        """Convert ids to normalized text; special tokens are skipped.

        Args:
            ids: Ids of words.
            replacements: Words for some positions, counted from 0, instead of those of their ids.
        """
        replacements = replacements or {}
        words = [
            replacements[position] if position in replacements else self.words[i]
            for position, i in enumerate(ids)
            if position in replacements or i not in self._hidden
        ]
        if self.settings.kind in SUBWORDS:
            return "".join(words).replace(SPACE, " ").strip()
        return ("" if self.settings.kind == "characters" else " ").join(words)

    def detokenize(self, normalized: str) -> str:
        """Convert normalized text to raw text: join words and punctuation marks."""
        if self.settings.moses is not None:
            return moses(self.settings.moses).detokenize(normalized)
        return join_words(normalized) if self.settings.kind == "words" else normalized


class TranslationTokenizer:
    """Tokenizers of both languages; holds everything needed to translate as in training.

    Args:
        source: Tokenizer of the source language.
        target: Tokenizer of the target language; its list of words may be that of the source.
    """

    def __init__(self, source: SentenceTokenizer, target: SentenceTokenizer) -> None:
        self.source = source
        self.target = target

    @property
    def joint(self) -> bool:
        """Whether both languages share one vocabulary."""
        return self.source.words is self.target.words

    def encode_sources(self, texts: list[str], *, normalized: bool = False) -> list[list[int]]:
        """Convert sources to ids with end token.

        Args:
            texts: Source sentences.
            normalized: If True, the sentences are normalized already.
        """
        encode = self.source.encode_normalized if normalized else self.source.encode
        return [[*row, EOS_ID] for row in encode(texts)]

    def encode_targets(self, texts: list[str], *, normalized: bool = False) -> list[list[int]]:
        """Convert targets to ids with start and end token.

        Args:
            texts: Target sentences.
            normalized: If True, the sentences are normalized already.
        """
        encode = self.target.encode_normalized if normalized else self.target.encode
        return [[BOS_ID, *row, EOS_ID] for row in encode(texts)]

    def state_dict(self) -> dict[str, Any]:
        """Return plain values for a checkpoint; a joint vocabulary is stored once."""
        target = self.target.state_dict()
        if self.joint:
            target = {"settings": asdict(self.target.settings)}
        return {"source": self.source.state_dict(), "target": target}

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Self:
        """Restore tokenizers from the result of `state_dict`."""
        source = SentenceTokenizer.from_state_dict(state["source"])
        if "words" in state["target"]:
            return cls(source, SentenceTokenizer.from_state_dict(state["target"]))
        settings = SentenceTokenizerConfig(**state["target"]["settings"])
        return cls(source, SentenceTokenizer(settings, source.words, source.subwords))

    @classmethod
    def learn(
        cls,
        source: SentenceTokenizerConfig,
        target: SentenceTokenizerConfig,
        sources: Iterable[str],
        targets: Iterable[str],
        *,
        joint: bool,
    ) -> Self:
        """Learn both vocabularies from the normalized sentences of a training split.

        Args:
            source: Options of the source language.
            target: Options of the target language.
            sources: All sources.
            targets: All targets.
            joint: If True, learn one vocabulary from both.
        """
        if not joint:
            return cls(
                SentenceTokenizer.learn(source, sources), SentenceTokenizer.learn(target, targets)
            )
        both = SentenceTokenizer.learn(
            source, (text for side in (sources, targets) for text in side)
        )
        return cls(both, SentenceTokenizer(target, both.words, both.subwords))
