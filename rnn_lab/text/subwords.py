"""Subword models: learn them, and restore them from a checkpoint that is not trusted."""

import json
import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeGuard

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from rnn_lab.errors import UserError
from rnn_lab.io.waiting import waiting
from rnn_lab.special_tokens import UNK_ID


def learn_subwords(
    kind: str,
    texts: Iterable[str],
    special: list[str],
    normalizer: Any,
    *,
    vocab_size: int,
    min_freq: int,
) -> Tokenizer:
    """Learn a subword model from the texts of a training split.

    Args:
        kind: `bpe` (byte-pair encoding) or `unigram` (the model of SentencePiece).
        texts: The texts.
        special: Special tokens, which have the first ids.
        normalizer: Normalizer of `tokenizers`; None for none.
        vocab_size: Limit on the number of subwords, special tokens included.
        min_freq: Occurrences of a pair that is merged; not used by `unigram`.
    """
    options: dict[str, Any] = {
        "vocab_size": vocab_size,
        "special_tokens": special,
        "show_progress": False,
    }
    if kind == "bpe":
        model: Any = models.BPE(unk_token=special[UNK_ID])
        trainer: Any = trainers.BpeTrainer(min_frequency=min_freq, **options)
    else:
        model = models.Unigram()
        trainer = trainers.UnigramTrainer(unk_token=special[UNK_ID], **options)
    tokenizer = _with_parts(model, normalizer)
    with ExitStack() as stack:

        def counted() -> Iterator[str]:
            yield from texts  # whose progress is shown
            stack.enter_context(waiting(f"learning up to {vocab_size:,} subwords"))

        tokenizer.train_from_iterator(counted(), trainer)
    return tokenizer if kind == "bpe" else _sort_vocabulary(tokenizer, special)


def _with_parts(model: Any, normalizer: Any) -> Tokenizer:
    tokenizer = Tokenizer(model)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


def _sort_vocabulary(model: Tokenizer, special: list[str]) -> Tokenizer:
    """Sort the subwords, as the trainer orders those of equal probability at random.

    A subword that is spelled like a special token is left out: each word has one id.
    """
    state = json.loads(model.to_str())
    subwords = state["model"]["vocab"]
    learned = sorted(item for item in subwords[len(special) :] if item[0] not in special)
    state["model"]["vocab"] = subwords[: len(special)] + learned
    return Tokenizer.from_str(json.dumps(state))


def restore_subwords(
    kind: str, serialized: str, words: list[str], special: list[str], normalizer: Any
) -> Tokenizer:
    """Restore a learned subword model.

    Only the vocabulary and the merges are taken from the serialized model, and they are checked.
    All other parts are created as for a new model; others than these are refused.

    Args:
        kind: `bpe` or `unigram`.
        serialized: The model as `tokenizers` serializes it.
        words: The vocabulary: the id of a subword is its index in the list.
        special: Special tokens, which have the first ids.
        normalizer: Normalizer of `tokenizers`; None for none.

    Raises:
        UserError: If the serialized model is damaged, or has other parts than a learned one.
    """
    try:
        stored = json.loads(serialized)
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"the subword model is not JSON: {error}") from error
    _check_parts(stored, json.loads(_new(kind, special, normalizer).to_str()))
    with _panics_named():
        model = _checked_model(kind, stored["model"], words, special[UNK_ID])
        tokenizer = _with_parts(model, normalizer)
        tokenizer.add_special_tokens(special)
    return tokenizer


def _new(kind: str, special: list[str], normalizer: Any) -> Tokenizer:
    """Create a tokenizer that has learned nothing: its vocabulary is the special tokens."""
    if kind == "bpe":
        ids = {token: i for i, token in enumerate(special)}
        model: Any = models.BPE(vocab=ids, merges=[], unk_token=special[UNK_ID])
    else:
        model = models.Unigram([(token, 0.0) for token in special], UNK_ID, False)
    tokenizer = _with_parts(model, normalizer)
    tokenizer.add_special_tokens(special)
    return tokenizer


def _checked_model(kind: str, stored: dict[str, Any], words: list[str], unk_token: str) -> Any:
    """Create a model with the stored vocabulary, after checking it."""
    vocab = stored.get("vocab")
    if kind == "unigram":
        return models.Unigram(_checked_scores(vocab, words), UNK_ID, False)
    ids = _checked_ids(vocab, words)
    merges = _checked_merges(stored.get("merges"), ids)
    return models.BPE(vocab=ids, merges=merges, unk_token=unk_token)


def _check_parts(stored: Any, expected: dict[str, Any]) -> None:
    """Check that a serialized model has the parts of a new one, such as its normalizer."""
    for name, part in expected.items():
        found = stored.get(name) if isinstance(stored, dict) else None
        if not isinstance(found, type(part)) or _kinds(found) != _kinds(part):
            raise UserError(f"the subword model has another {name} than rnn_lab uses")
    tokens = [token.get("content") for token in stored["added_tokens"]]
    if tokens != [token["content"] for token in expected["added_tokens"]]:
        raise UserError("the subword model has other special tokens")


def _kinds(part: Any) -> Any:
    """Return the types of a part and of the parts it is a sequence of."""
    if isinstance(part, list):
        return [_kinds(each) for each in part]
    if isinstance(part, dict):
        sequences = (part[name] for name in ("normalizers", "pretokenizers") if name in part)
        return part.get("type"), [_kinds(each) for each in sequences]
    return None


def _checked_ids(vocab: Any, words: list[str]) -> dict[str, int]:
    """Check that the ids of subwords are their indices in the vocabulary."""
    if not isinstance(vocab, dict) or vocab != {word: i for i, word in enumerate(words)}:
        raise UserError("the ids of the subword model differ from the vocabulary")
    return vocab


def _checked_merges(merges: Any, vocab: dict[str, int]) -> list[tuple[str, str]]:
    """Check that merges combine two subwords of the vocabulary to a third."""
    pairs = []
    for merge in merges if isinstance(merges, list) else [None]:
        if not _is_merge(merge, vocab):
            raise UserError(f"the subword model has an invalid merge: {merge!r}"[:200])
        pairs.append((merge[0], merge[1]))
    return pairs


def _is_merge(merge: Any, vocab: dict[str, int]) -> TypeGuard[list[str]]:
    if not isinstance(merge, list) or len(merge) != 2:
        return False
    left, right = merge
    if not (isinstance(left, str) and isinstance(right, str)):
        return False
    return left in vocab and right in vocab and left + right in vocab


def _checked_scores(vocab: Any, words: list[str]) -> list[tuple[str, float]]:
    """Check the logarithms of the probabilities of subwords, in the order of their ids."""
    scores = []
    for item in vocab if isinstance(vocab, list) else [None]:
        match item:
            case [str(piece), int() | float() as score] if math.isfinite(score):
                scores.append((piece, score))
            case _:
                raise UserError(f"the subword model has an invalid score: {item!r}"[:200])
    if [piece for piece, _ in scores] != words:
        raise UserError("the subwords of the model differ from the vocabulary")
    return scores


@contextmanager
def _panics_named() -> Iterator[None]:
    """Convert an error of the library, which may be a panic, into a `UserError`."""
    try:
        yield
    except (UserError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the library is no Exception
        raise UserError(f"the subword model cannot be restored: {error}") from error
