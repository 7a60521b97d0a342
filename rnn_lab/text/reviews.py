"""Generator of film reviews labeled by word order.

The reviews are a pure function of `(seed, split)`; a smaller sample is a prefix of a larger one.
"""

import random
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from math import prod
from string import Formatter

from rnn_lab.core.generated import SPLITS, check_generation_args
from rnn_lab.errors import UserError

REVIEW_LABELS = ("negative", "positive")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_OPENINGS = ("", "honestly, ", "in short, ", "overall, ", "to be fair, ", "for me, ")
_PARTS = _words(
    "plot story script cast ending score dialogue opening finale romance mystery drama hero villain"
)
_ADJECTIVES = {
    "negative": _words(
        "bad dull tedious clumsy stale cold boring lifeless silly weak shallow hollow messy bland"
    ),
    "positive": _words(
        "good gripping funny moving clever warm fresh charming brilliant tender sharp lively "
        "touching bold"
    ),
}
_INTENSIFIERS = ("very", "really", "rather", "quite", "truly")
_NEGATIONS = ("not", "never", "hardly", "far from", "anything but", "not at all")
# {like} and {unlike} are descriptions that agree or disagree with the label ("gripping", "rather
# gripping", "not dull"), {like_word} and {unlike_word} adjectives alone. A frame with both, when
# they are swapped, has the same words with the other label: only their order is informative. In
# most frames the last description decides, which avoids a plateau at chance level in training.
_FRAMES = (
    "the {part} was {like}.",
    "nobody can say that the {part} was {unlike}.",
    "it would be wrong to say that the {part} was {unlike}.",
    "it would not be wrong to say that the {part} was {like}.",
    "the {part} was {unlike} at first, but {like} later.",
    "at first the {part} was {unlike}, later it was {like}.",
    "the {part} was {like} in the end, though {unlike} at first.",
    "the {part} was {unlike}, but the {second} was {like}.",
    "although the {part} was {unlike}, the {second} was {like}.",
    "the {part} was {like}, although the {second} was {unlike}.",
    "the {part} was not {unlike_word} but {like_word}.",
    "the {part} was {like_word}, not {unlike_word}.",
    "the {part} was more {like_word} than {unlike_word}.",
    "the {part} was less {unlike_word} than {like_word}.",
    "with its {part}, this was not a {unlike_word} film but a {like_word} one.",
    "i expected a {unlike_word} {part} and got a {like_word} one.",
    "i got a {like_word} {part} where i expected a {unlike_word} one.",
    "instead of a {unlike_word} {part} we saw a {like_word} {second}.",
    "friends found the {part} {unlike}, yet i found it {like}.",
    "many say that the {part} was {like}, and they are right.",
    "many say that the {part} was {unlike}, and they are wrong.",
    "those who call the {part} {unlike} are wrong, those who call it {like} are right.",
    "those who call the {part} {like} are right, those who call it {unlike} are wrong.",
    "critics were wrong to call the {part} {unlike_word} and right to call it {like_word}.",
    "critics were right to call the {part} {like_word} and wrong to call it {unlike_word}.",
)


def reviews(count: int, seed: int, split: str) -> Iterator[tuple[str, str]]:
    r"""Generate distinct film reviews labeled by word order.

    Words are in lower case; `\w+|[^\w\s]` separates them from punctuation. The label is that of the
    main clause, of the observation instead of the expectation, of the later event, or of the person
    who is right. A text belongs to one split only, for all seeds. Beyond about 100,000 texts per
    split short sentences are used up, and texts become longer.

    Args:
        count: Number of reviews, half of each label.
        seed: Seed of the generator.
        split: One of `SPLITS`.

    Returns:
        Pairs of text and label, one of `REVIEW_LABELS`.

    Raises:
        UserError: If the split is unknown, or the count is negative or more than a tenth of the
            distinct texts of a split.
    """
    check_generation_args(count, split)
    limit = count_distinct_reviews() // len(SPLITS) // 10
    if count > limit:
        raise UserError(f"reviews can generate up to {limit} distinct texts per split, got {count}")
    return _generate_reviews(count, random.Random(f"{seed}/{split}"), SPLITS.index(split))


def count_distinct_reviews() -> int:
    """Return the number of distinct texts of the grammar, over both labels and all splits."""
    adjectives = len(_ADJECTIVES["positive"])
    descriptions = adjectives * (1 + len(_INTENSIFIERS) + len(_NEGATIONS))
    choices = {
        "part": len(_PARTS),
        "second": len(_PARTS) - 1,
        "like": descriptions,
        "unlike": descriptions,
        "like_word": adjectives,
        "unlike_word": adjectives,
    }
    per_frame = (
        prod(choices[name] for _, name, _, _ in Formatter().parse(frame) if name)
        for frame in _FRAMES
    )
    return len(REVIEW_LABELS) * len(_OPENINGS) * sum(per_frame)


def _generate_reviews(count: int, rng: random.Random, split: int) -> Iterator[tuple[str, str]]:
    seen: set[int] = set()
    label = _choice(rng, REVIEW_LABELS)
    while len(seen) < count:
        text = _review(rng, label)
        key = int.from_bytes(blake2b(text.encode(), digest_size=8).digest())
        if key % len(SPLITS) == split and key not in seen:
            seen.add(key)
            yield text, label
            # Labels alternate in pairs, so that every even count is exactly balanced.
            label = _opposite(label) if len(seen) % 2 else _choice(rng, REVIEW_LABELS)


def _review(rng: random.Random, label: str) -> str:
    part = _choice(rng, _PARTS)
    return _choice(rng, _OPENINGS) + _choice(rng, _FRAMES).format(
        part=part,
        second=_choice(rng, [other for other in _PARTS if other != part]),
        like=_description(rng, label),
        unlike=_description(rng, _opposite(label)),
        like_word=_choice(rng, _ADJECTIVES[label]),
        unlike_word=_choice(rng, _ADJECTIVES[_opposite(label)]),
    )


def _description(rng: random.Random, label: str) -> str:
    form = _choice(rng, ("plain", "intensified", "negated"))
    if form == "plain":
        return _choice(rng, _ADJECTIVES[label])
    if form == "intensified":
        return f"{_choice(rng, _INTENSIFIERS)} {_choice(rng, _ADJECTIVES[label])}"
    return f"{_choice(rng, _NEGATIONS)} {_choice(rng, _ADJECTIVES[_opposite(label)])}"


def _opposite(label: str) -> str:
    return REVIEW_LABELS[label == "negative"]


def _choice(rng: random.Random, options: Sequence[str]) -> str:
    # Only `random()`, not `choice()`, is guaranteed to be the same in every Python version.
    return options[int(rng.random() * len(options))]
