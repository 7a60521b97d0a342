"""Tokenizers: split raw text into words or subwords, and map these to ids."""

import heapq
import itertools
import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import IO, Any, ClassVar, Literal, Self

from tokenizers import Regex, Tokenizer, normalizers

from rnn_lab.errors import UserError
from rnn_lab.io.ragged import ENCODE_CHUNK_SIZE
from rnn_lab.special_tokens import PAD_ID, UNK_ID
from rnn_lab.text.subwords import learn_subwords, restore_subwords

SPECIAL_TOKENS = ["<pad>", "<unk>"]
MAX_COUNTED_WORDS = 1_000_000  # distinct words whose counts are held in memory
# Contractions are split as in the Penn Treebank ("do n't", "it 's"), so that raw text and
# tokenized text share their words. (Spelled out: IGNORECASE takes a third longer.)
NOT = re.compile(r"[nN]'[tT]\b")
WORD = re.compile(rf"{NOT.pattern}|\w+|'(?:[sSdDmM]|[rR][eE]|[vV][eE]|[lL][lL])\b|[^\w\s]")
LINE_BREAK = re.compile(r"<br\s*/?>")
TokenizerKind = Literal["words", "whitespace", "characters", "bpe", "unigram"]


def split_words(text: str) -> list[str]:
    """Split text into words, contractions and punctuation marks; HTML line breaks are spaces.

    Example:
        >>> split_words("It isn't bad!<br />Really.")
        ['It', 'is', "n't", 'bad', '!', 'Really', '.']
    """
    if "<" in text:
        text = LINE_BREAK.sub(" ", text)
    if "'" in text:
        text = NOT.sub(r" \g<0>", text)
    return WORD.findall(text)


SPLITTERS: dict[str, Callable[[str], list[str]]] = {
    "words": split_words,
    "whitespace": str.split,
    "characters": list,
}
SUBWORDS = ("bpe", "unigram")


@dataclass(frozen=True)
class TokenizerConfig:
    """Options of a tokenizer and its vocabulary.

    Args:
        kind: `words` (a regular expression), `whitespace`, `characters`, or subwords learned
            from the training split: `bpe` (byte-pair encoding) or `unigram` (the model of
            SentencePiece). None: the default of the dataset.
        lowercase: If True, convert text to lower case. None: the default of the dataset.
        min_freq: Occurrences in the training split that a word needs to enter the vocabulary;
            not used by `unigram`.
        max_vocab_size: Limit on the words in the vocabulary, special tokens not counted; the
            most frequent words are kept. For subwords special tokens count, and None is 8000.

    Raises:
        UserError: If an option has an invalid value.
    """

    kind: TokenizerKind | None = None
    lowercase: bool | None = None
    min_freq: int = 1
    max_vocab_size: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in (None, *SPLITTERS, *SUBWORDS):
            known = ", ".join([*SPLITTERS, *SUBWORDS])
            raise UserError(f"tokenizer.kind must be one of {known}, got {self.kind!r}")
        self.check_minimum(min_freq=1, max_vocab_size=1)

    def check_minimum(self, **minimums: int) -> None:
        """Raise a UserError if an option is below its minimum."""
        for name, minimum in minimums.items():
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise UserError(f"tokenizer.{name} must be at least {minimum}, got {value}")

    def with_defaults(self, **defaults: Any) -> Self:
        """Return a copy in which options that are None have these values."""
        missing = {name: v for name, v in defaults.items() if getattr(self, name) is None}
        return replace(self, **missing)


class TextTokenizer:
    """Convert raw text to ids; holds everything needed to tokenize as in training.

    Args:
        settings: Options; None stands for `words` in lower case.
        words: The vocabulary: the id of a word is its index in the list.
        subwords: The learned subword model as `tokenizers` serializes it; only for subwords.
    """

    special_tokens: ClassVar[list[str]] = SPECIAL_TOKENS
    settings_class: ClassVar[type[TokenizerConfig]] = TokenizerConfig

    def __init__(
        self, settings: TokenizerConfig, words: list[str], subwords: str | None = None
    ) -> None:
        self.settings = _resolved(settings)
        self.words = words
        self.subwords = subwords
        special = range(len(self.special_tokens))
        self._hidden = {i for i in special if i != UNK_ID}  # never produced from text
        self._ids = {word: i for i, word in enumerate(words) if i not in self._hidden}
        self._split = self.splitter(self.settings)
        self._model: Tokenizer | None = None
        if (self.settings.kind in SUBWORDS) != (subwords is not None):
            raise UserError(f"a tokenizer of kind {self.settings.kind} has the wrong subword model")
        if subwords is not None:
            self._model = self._restore(subwords)
            self._model.encode_special_tokens = True  # "<pad>" in a text is ordinary text

    def _restore(self, subwords: str) -> Tokenizer:
        normalizer = self.normalizer(self.settings)
        kind = str(self.settings.kind)
        return restore_subwords(kind, subwords, self.words, self.special_tokens, normalizer)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.settings, self.words, self.subwords)

    @classmethod
    def splitter(cls, settings: TokenizerConfig) -> Callable[[str], list[str]]:
        """Return the function that splits a text into words; unused for subwords."""
        split = SPLITTERS.get(settings.kind or "words", str.split)
        return (lambda text: split(text.lower())) if settings.lowercase else split

    @classmethod
    def normalizer(cls, settings: TokenizerConfig) -> Any:
        """Return the normalizer that `tokenizers` applies before it splits into subwords."""
        steps = [normalizers.Replace(Regex(LINE_BREAK.pattern), " "), normalizers.NFC()]
        return normalizers.Sequence(
            [*steps, normalizers.Lowercase()] if settings.lowercase else steps
        )

    @classmethod
    def learn(cls, settings: TokenizerConfig, texts: Iterable[str]) -> Self:
        """Learn the vocabulary from the texts of a training split.

        Memory is bounded: the counts of at most a million distinct words are held in memory, the
        others are in temporary files. Counts are exact.
        """
        settings = _resolved(settings)
        if settings.kind in SUBWORDS:
            model = learn_subwords(
                str(settings.kind),
                texts,
                cls.special_tokens,
                cls.normalizer(settings),
                vocab_size=settings.max_vocab_size or 8000,
                min_freq=settings.min_freq,
            )
            ids = model.get_vocab()
            return cls(settings, sorted(ids, key=ids.__getitem__), model.to_str())
        counts = _count(map(cls.splitter(settings), texts))
        frequent = (
            (-count, word)
            for word, count in counts
            if count >= settings.min_freq and word not in cls.special_tokens
        )
        if settings.max_vocab_size is None:
            ranked = sorted(frequent)
        else:
            ranked = heapq.nsmallest(settings.max_vocab_size, frequent)
        return cls(settings, cls.special_tokens + [word for _, word in ranked])

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Convert texts to ids; a text without words gives an empty list."""
        if self._model:
            return self._encode_subwords(self._model, list(map(str.strip, texts)))
        return [self._encode_words(text) for text in texts]

    def _encode_words(self, text: str) -> list[int]:
        return list(map(self._ids.get, self._split(text), itertools.repeat(UNK_ID)))

    def _encode_subwords(self, model: Tokenizer, texts: list[str]) -> list[list[int]]:
        rows = [encoding.ids for encoding in model.encode_batch_fast(texts)]
        return [  # a special token may have been learned as a subword, too
            [UNK_ID if i in self._hidden else i for i in row] if "<" in text else row
            for text, row in zip(texts, rows, strict=True)
        ]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Return the words of some ids without padding."""
        return [self.words[i] for i in ids if i != PAD_ID]

    def state_dict(self) -> dict[str, Any]:
        """Return options and vocabulary as plain values, for a checkpoint."""
        return {
            "settings": asdict(self.settings),
            "words": self.words,
            "subwords": self.subwords,
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Self:
        """Create a tokenizer from the result of `state_dict`.

        Raises:
            UserError: If the vocabulary or the subword model is damaged.
        """
        settings = cls.settings_class(**state["settings"])
        words = state["words"]
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise UserError("the vocabulary is not a list of strings")
        return cls(settings, list(words), state["subwords"])


def _resolved(settings: TokenizerConfig) -> TokenizerConfig:
    return settings.with_defaults(kind="words", lowercase=True)


def _count(rows: Iterable[list[str]]) -> Iterator[tuple[str, int]]:
    """Count words exactly; counts beyond `MAX_COUNTED_WORDS` are sorted into files and merged."""
    counts: Counter[str] = Counter()
    spilled: list[IO[str]] = []
    with ExitStack() as files:
        for row in rows:
            counts.update(row)
            if len(counts) > MAX_COUNTED_WORDS:
                spilled.append(_spill(counts, files))
                counts.clear()
        if not spilled:
            yield from counts.items()
            return
        spilled.append(_spill(counts, files))
        counts.clear()
        merged = heapq.merge(*(map(json.loads, file) for file in spilled))
        for word, pairs in itertools.groupby(merged, key=lambda pair: pair[0]):
            yield word, sum(count for _, count in pairs)


def _spill(counts: Counter[str], files: ExitStack) -> IO[str]:
    file = files.enter_context(
        tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n")  # noqa: SIM115  # see `files`
    )
    file.writelines(json.dumps([word, counts[word]]) + "\n" for word in sorted(counts))
    file.seek(0)
    return file


def encode_in_chunks(
    encode: Callable[[list[str]], list[list[int]]], texts: Iterable[str]
) -> Iterator[tuple[int, list[list[int]]]]:
    """Encode texts in chunks.

    Yields:
        The index of the first text of a chunk, and the ids of its texts.
    """
    chunk: list[str] = []
    first = 0
    for text in texts:
        chunk.append(text)
        if len(chunk) == ENCODE_CHUNK_SIZE:
            yield first, encode(chunk)
            first += len(chunk)
            chunk = []
    yield first, encode(chunk)
