"""Sentences that are read and written: text normalized and tokenized, and back from ids to text."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, ClassVar, Self

from rnn_lab.errors import UserError
from rnn_lab.special_tokens import BOS_ID, EOS_ID
from rnn_lab.text.tokenizer import (
    SPECIAL_TOKENS,
    SUBWORDS,
    TextTokenizer,
    TokenizerConfig,
    TokenizerKind,
    split_words,
)

PAIR_WORDS = [*SPECIAL_TOKENS, "<bos>", "<eos>"]
SPACE = "\u2581"  # how subwords write the space before a word


@dataclass(frozen=True)
class SentenceTokenizerConfig(TokenizerConfig):
    """How sentences become ids and ids sentences.

    Attributes:
        moses: Language by whose Moses rules punctuation is normalized and the text tokenized
            (no hyphens split, nothing escaped), such as `en`; `words` and `whitespace` are then
            the words that these rules give. None leaves the text as it is.
    """

    kind: TokenizerKind = "words"
    lowercase: bool = True
    moses: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.moses is not None and not (self.moses.isalpha() and self.moses.islower()):
            raise UserError(f"a language is a code such as en or de, got {self.moses!r}")


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
            self.check_minimum(max_vocab_size=len(PAIR_WORDS) + 1)

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
        language: Its code; one that Moses does not know has English abbreviations.
    """

    def __init__(self, language: str) -> None:
        # Here, since most runs have no use for it.
        from sacremoses import MosesDetokenizer, MosesPunctNormalizer, MosesTokenizer

        self._normalizer = MosesPunctNormalizer(language)
        self._tokenizer = MosesTokenizer(language)
        self._detokenizer = MosesDetokenizer(language)

    def tokenize(self, text: str) -> str:
        """Normalize the punctuation and put spaces between words and marks."""
        return self._tokenizer.tokenize(
            self._normalizer.normalize(text),
            aggressive_dash_splits=False,
            escape=False,
            return_str=True,
        )

    def detokenize(self, text: str) -> str:
        """Take the spaces out that nobody writes."""
        return self._detokenizer.detokenize(text.split(), unescape=False)


moses = cache(Moses)


def normalize(text: str, settings: SentenceTokenizerConfig) -> str:
    """Bring raw text into the one form that a model reads and writes.

    Letters with marks have one spelling, runs of white space are one space, and what separates
    words in the settings is written out as spaces.
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
    """Turns sentences into ids, and ids back into sentences.

    Args:
        settings: How sentences become ids.
        words: The vocabulary: the id of a word is its place in the list.
        subwords: The learned subwords as `tokenizers` writes them, for these tokenizers only.
    """

    settings: SentenceTokenizerConfig
    special_tokens = PAIR_WORDS
    settings_class: ClassVar[type[TokenizerConfig]] = SentenceTokenizerConfig

    @classmethod
    def splitter(cls, settings: TokenizerConfig) -> Callable[[str], list[str]]:
        """Say how a normalized sentence becomes words, where they are no subwords."""
        return list if settings.kind == "characters" else str.split

    @classmethod
    def normalizer(cls, settings: TokenizerConfig) -> None:
        """Nothing is left to do to a normalized sentence."""

    @classmethod
    def learn(cls, settings: TokenizerConfig, texts: Iterable[str]) -> Self:
        """Learn the vocabulary from the normalized sentences of a training split."""
        return super().learn(settings, texts)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Read raw sentences as ids, neither their start nor their end among them."""
        return self.encode_normalized(list(map(self.normalized, texts)))

    def encode_normalized(self, texts: list[str]) -> list[list[int]]:
        """Read sentences as ids that were normalized before."""
        return super().encode(texts)

    def normalized(self, text: str) -> str:
        """Bring raw text into the form that `joined` gives, so that the two can be compared."""
        return normalize(text, self.settings)

    def split(self, normalized: str) -> list[str]:
        """Cut a normalized sentence into the words that its ids stand for.

        Raises:
            UserError: If these are pieces of words: hardly one is unknown.
        """
        if self.settings.kind in SUBWORDS:
            raise UserError(f"{self.settings.kind} knows pieces: there is no word to replace")
        return self.splitter(self.settings)(normalized)

    def joined(self, ids: Iterable[int], known: Mapping[int, str] | None = None) -> str:
        """Write ids as normalized text; what stands for no word is left out.

        Args:
            ids: Ids of words.
            known: What is written at some places, counted from 0, whatever their id.
        """
        known = known or {}
        words = [
            known[place] if place in known else self.words[i]
            for place, i in enumerate(ids)
            if place in known or i not in self._hidden
        ]
        if self.settings.kind in SUBWORDS:
            return "".join(words).replace(SPACE, " ").strip()
        return ("" if self.settings.kind == "characters" else " ").join(words)

    def plain(self, normalized: str) -> str:
        """Write normalized text as people do: what Moses' rules took apart is put together."""
        language = self.settings.moses
        return normalized if language is None else moses(language).detokenize(normalized)


class TranslationTokenizer:
    """Reads sentences and their translations; everything that translation needs from training.

    Args:
        source: Reads the sentences.
        target: Reads and writes the translations; its list of words may be that of the source.
    """

    def __init__(self, source: SentenceTokenizer, target: SentenceTokenizer) -> None:
        self.source = source
        self.target = target

    @property
    def joint(self) -> bool:
        """Whether both sides share one vocabulary."""
        return self.source.words is self.target.words

    def encode_sources(self, texts: list[str], *, normalized: bool = False) -> list[list[int]]:
        """Read sentences as ids, their end included.

        Args:
            texts: Sentences.
            normalized: Whether they were normalized before.
        """
        encode = self.source.encode_normalized if normalized else self.source.encode
        return [[*row, EOS_ID] for row in encode(texts)]

    def encode_targets(self, texts: list[str], *, normalized: bool = False) -> list[list[int]]:
        """Read translations as ids, their start and their end included.

        Args:
            texts: Translations.
            normalized: Whether they were normalized before.
        """
        encode = self.target.encode_normalized if normalized else self.target.encode
        return [[BOS_ID, *row, EOS_ID] for row in encode(texts)]

    def state_dict(self) -> dict[str, Any]:
        """Everything as plain values, for a checkpoint; a shared vocabulary is kept once."""
        target = self.target.state_dict()
        if self.joint:
            target = {"settings": asdict(self.target.settings)}
        return {"source": self.source.state_dict(), "target": target}

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Self:
        """Build a reader again from what `state_dict` told."""
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
            source: How sources become ids.
            target: How targets become ids.
            sources: All sources.
            targets: All targets.
            joint: Whether to learn one vocabulary from both.
        """
        if not joint:
            return cls(
                SentenceTokenizer.learn(source, sources), SentenceTokenizer.learn(target, targets)
            )
        both = SentenceTokenizer.learn(
            source, (text for side in (sources, targets) for text in side)
        )
        return cls(both, SentenceTokenizer(target, both.words, both.subwords))
