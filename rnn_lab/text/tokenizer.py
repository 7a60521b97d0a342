"""From raw text to ids: tokenizers, vocabularies, and the reader that a checkpoint carries."""

import heapq
import itertools
import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import IO, Any, ClassVar, Literal, Self

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from rnn_lab.errors import UserError
from rnn_lab.io.ragged import ENCODED_AT_ONCE
from rnn_lab.special_tokens import PAD_ID, UNK_ID

SPECIAL_WORDS = ["<pad>", "<unk>"]
COUNTED_AT_ONCE = 1_000_000  # distinct words held in memory while counting
# Contractions are split as the Penn Treebank does ("do n't", "it 's"), so that raw text and
# text that comes tokenized share their words. (Spelt out: IGNORECASE takes a third longer.)
NOT = re.compile(r"[nN]'[tT]\b")
WORD = re.compile(rf"{NOT.pattern}|\w+|'(?:[sSdDmM]|[rR][eE]|[vV][eE]|[lL][lL])\b|[^\w\s]")
LINE_BREAK = re.compile(r"<br\s*/?>")
TokenizerName = Literal["words", "whitespace", "characters", "bpe", "unigram"]


def split_words(text: str) -> list[str]:
    """Split into words, contractions and single punctuation marks; HTML line breaks are space.

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
    """How texts become ids.

    Attributes:
        tokenizer: `words` (a regular expression), `whitespace`, `characters`, or subwords that
            are learned on the training split: `bpe` (byte-pair encoding) or `unigram` (the
            model of SentencePiece).
        lowercase: Whether case is dropped first.
        min_freq: How often a word must occur in the training split to have an id of its own;
            `unigram` does not ask.
        max_size: Words in the vocabulary at the most, the most frequent ones; None for no limit.
        max_length: Words of a text that are read at the most; None for all.
        keep: Which end of a longer text is read.
    """

    tokenizer: TokenizerName = "words"
    lowercase: bool = True
    min_freq: int = 1
    max_size: int | None = None
    max_length: int | None = None
    keep: Literal["head", "tail"] = "head"

    def __post_init__(self) -> None:
        if self.tokenizer not in (*SPLITTERS, *SUBWORDS):
            known = ", ".join([*SPLITTERS, *SUBWORDS])
            raise UserError(f"tokenizer must be one of {known}, got {self.tokenizer!r}")
        for name, least in (("min_freq", 1), ("max_size", 1), ("max_length", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"{name} must be at least {least}, got {value}")
        if self.keep not in ("head", "tail"):
            raise UserError(f"keep must be head or tail, got {self.keep!r}")


class TextTokenizer:
    """Turns raw text into ids; everything that prediction needs to read as training did.

    Args:
        settings: How texts become ids.
        words: The vocabulary: the id of a word is its place in the list.
        subwords: The learned subwords as `tokenizers` writes them, for these tokenizers only.
    """

    special_words: ClassVar[list[str]] = SPECIAL_WORDS
    settings_class: ClassVar[type[TokenizerConfig]] = TokenizerConfig

    def __init__(
        self, settings: TokenizerConfig, words: list[str], subwords: str | None = None
    ) -> None:
        self.settings = settings
        self.words = words
        self.subwords = subwords
        special = range(len(self.special_words))
        self._hidden = {i for i in special if i != UNK_ID}  # no text holds them
        self._ids = {word: i for i, word in enumerate(words) if i not in self._hidden}
        self._split = self.splitter(settings)
        self._model = Tokenizer.from_str(subwords) if subwords else None
        if self._model:
            self._model.encode_special_tokens = True  # "<pad>" in a text is text

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.settings, self.words, self.subwords)

    @classmethod
    def splitter(cls, settings: TokenizerConfig) -> Callable[[str], list[str]]:
        """Say how a text becomes words, where they are no subwords."""
        split = SPLITTERS.get(settings.tokenizer, str.split)
        return (lambda text: split(text.lower())) if settings.lowercase else split

    @classmethod
    def normalizer(cls, settings: TokenizerConfig) -> Any:
        """Say what `tokenizers` does to a text before it looks for subwords."""
        steps = [normalizers.Replace(Regex(LINE_BREAK.pattern), " "), normalizers.NFC()]
        return normalizers.Sequence(
            [*steps, normalizers.Lowercase()] if settings.lowercase else steps
        )

    @classmethod
    def learn(cls, settings: TokenizerConfig, texts: Iterable[str]) -> Self:
        """Learn the vocabulary from the texts of a training split.

        Memory stays bounded: at most a million distinct words are counted at once, the rest
        waits in a temporary file; the counts are exact.
        """
        if settings.tokenizer in SUBWORDS:
            learned = _learn_subwords(settings, texts, cls.special_words, cls.normalizer(settings))
            ids = learned.get_vocab()
            return cls(settings, sorted(ids, key=ids.__getitem__), learned.to_str())
        counts = _count(map(cls.splitter(settings), texts))
        kept = (
            (-count, word)
            for word, count in counts
            if count >= settings.min_freq and word not in cls.special_words
        )
        if settings.max_size is None:
            ranked = sorted(kept)
        else:
            ranked = heapq.nsmallest(settings.max_size, kept)
        return cls(settings, cls.special_words + [word for _, word in ranked])

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Read texts as ids, cut to `max_length`; a text without a word gives an empty list."""
        if self._model:
            rows = self._look_up_pieces(self._model, list(map(str.strip, texts)))
        else:
            rows = [self._look_up(text) for text in texts]
        limit = self.settings.max_length
        if limit is None:
            return rows
        if self.settings.keep == "head":
            return [row[:limit] for row in rows]
        return [row[-limit:] for row in rows]

    def _look_up(self, text: str) -> list[int]:
        return list(map(self._ids.get, self._split(text), itertools.repeat(UNK_ID)))

    def _look_up_pieces(self, model: Tokenizer, texts: list[str]) -> list[list[int]]:
        rows = [encoding.ids for encoding in model.encode_batch_fast(texts)]
        return [  # a special word may have been learned as a piece, too
            [UNK_ID if i in self._hidden else i for i in row] if "<" in text else row
            for text, row in zip(texts, rows, strict=True)
        ]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Name the words of some ids, padding left out."""
        return [self.words[i] for i in ids if i != PAD_ID]

    def state_dict(self) -> dict[str, Any]:
        """Everything as plain values, for a checkpoint."""
        # Under "bpe" since the first checkpoints, which had no other subwords.
        return {"settings": asdict(self.settings), "words": self.words, "bpe": self.subwords}

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Self:
        """Build a reader again from what `state_dict` told."""
        return cls(cls.settings_class(**state["settings"]), list(state["words"]), state["bpe"])


def _learn_subwords(
    settings: TokenizerConfig, texts: Iterable[str], special: list[str], normalizer: Any
) -> Tokenizer:
    options: dict[str, Any] = {
        "vocab_size": settings.max_size or 8000,
        "special_tokens": special,
        "show_progress": False,
    }
    unknown = special[UNK_ID]
    if settings.tokenizer == "bpe":
        learned = Tokenizer(models.BPE(unk_token=unknown))
        trainer: Any = trainers.BpeTrainer(min_frequency=settings.min_freq, **options)
    else:
        learned = Tokenizer(models.Unigram())
        trainer = trainers.UnigramTrainer(unk_token=unknown, **options)
    if normalizer is not None:
        learned.normalizer = normalizer
    learned.pre_tokenizer = pre_tokenizers.Metaspace()
    learned.train_from_iterator(texts, trainer)
    return learned if settings.tokenizer == "bpe" else _in_order(learned, len(special))


def _in_order(learned: Tokenizer, special: int) -> Tokenizer:
    """Number subwords by their letters: the order of equally likely ones is left to chance."""
    state = json.loads(learned.to_str())
    pieces = state["model"]["vocab"]
    state["model"]["vocab"] = pieces[:special] + sorted(pieces[special:])
    return Tokenizer.from_str(json.dumps(state))


def _count(rows: Iterable[list[str]]) -> Iterator[tuple[str, int]]:
    """Count words exactly; what does not fit in memory is sorted into files and merged."""
    counts: Counter[str] = Counter()
    spilled: list[IO[str]] = []
    with ExitStack() as files:
        for row in rows:
            counts.update(row)
            if len(counts) > COUNTED_AT_ONCE:
                spilled.append(_spill(counts, files))
                counts.clear()
        if not spilled:
            yield from counts.items()
            return
        spilled.append(_spill(counts, files))
        counts.clear()
        merged = heapq.merge(*(map(json.loads, file) for file in spilled))
        for word, same in itertools.groupby(merged, key=lambda pair: pair[0]):
            yield word, sum(count for _, count in same)


def _spill(counts: Counter[str], files: ExitStack) -> IO[str]:
    file = files.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n"))  # noqa: SIM115
    file.writelines(json.dumps([word, counts[word]]) + "\n" for word in sorted(counts))
    file.seek(0)
    return file


def in_chunks(
    encode: Callable[[list[str]], list[list[int]]], texts: Iterable[str]
) -> Iterator[tuple[int, list[list[int]]]]:
    """Encode in chunks: the number of the first text of a chunk and its ids."""
    chunk: list[str] = []
    first = 0
    for text in texts:
        chunk.append(text)
        if len(chunk) == ENCODED_AT_ONCE:
            yield first, encode(chunk)
            first += len(chunk)
            chunk = []
    yield first, encode(chunk)
