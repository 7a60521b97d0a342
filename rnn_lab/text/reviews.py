"""Generated film reviews whose label depends on word order.

They are a pure function of `(seed, split)`, need no download, and a longer sample starts with the
shorter one.
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
_STRESSES = ("very", "really", "rather", "quite", "truly")
_DENIALS = ("not", "never", "hardly", "far from", "anything but", "not at all")
# {like} and {unlike} are descriptions with and against the label ("gripping", "rather gripping",
# "not dull"), {like_word} and {unlike_word} adjectives alone. A frame that holds both gives, with
# the two exchanged, the same words under the other label: only their order tells. In most of them
# the last description is the one that counts, which spares a network a plateau at chance.
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
    r"""Draw distinct film reviews in which word order decides the label.

    Words are lower case; `\w+|[^\w\s]` tells them from punctuation. The verdict is that of the
    main clause, of what was found rather than expected, of what came later, of what was said by
    those who were right. A text belongs to one split only, whatever the seed. Beyond some
    100,000 texts of a split the short sentences run out and longer ones take their place.

    Args:
        count: Reviews to draw, half of each label.
        seed: Another seed draws other reviews of the same kind.
        split: One of `SPLITS`.

    Returns:
        Pairs of text and label, the label one of `REVIEW_LABELS`.

    Raises:
        UserError: If the split is unknown or the count is negative or more than a tenth of a
            split's distinct texts.
    """
    check_generation_args(count, split)
    limit = review_space() // len(SPLITS) // 10
    if count > limit:
        raise UserError(f"reviews can draw up to {limit} distinct texts a split, got {count}")
    return _draw_reviews(count, random.Random(f"{seed}/{split}"), SPLITS.index(split))


def review_space() -> int:
    """Count the distinct texts that the grammar of `reviews` holds, over both labels and splits."""
    adjectives = len(_ADJECTIVES["positive"])
    descriptions = adjectives * (1 + len(_STRESSES) + len(_DENIALS))
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


def _draw_reviews(count: int, rng: random.Random, split: int) -> Iterator[tuple[str, str]]:
    seen: set[int] = set()
    label = _pick(rng, REVIEW_LABELS)
    while len(seen) < count:
        text = _review(rng, label)
        digest = int.from_bytes(blake2b(text.encode(), digest_size=8).digest())
        if digest % len(SPLITS) == split and digest not in seen:
            seen.add(digest)
            yield text, label
            # Labels come in pairs of both, so that every even count is balanced exactly.
            label = _opposite(label) if len(seen) % 2 else _pick(rng, REVIEW_LABELS)


def _review(rng: random.Random, label: str) -> str:
    part = _pick(rng, _PARTS)
    return _pick(rng, _OPENINGS) + _pick(rng, _FRAMES).format(
        part=part,
        second=_pick(rng, [other for other in _PARTS if other != part]),
        like=_description(rng, label),
        unlike=_description(rng, _opposite(label)),
        like_word=_pick(rng, _ADJECTIVES[label]),
        unlike_word=_pick(rng, _ADJECTIVES[_opposite(label)]),
    )


def _description(rng: random.Random, label: str) -> str:
    form = _pick(rng, ("plain", "stressed", "denied"))
    if form == "plain":
        return _pick(rng, _ADJECTIVES[label])
    if form == "stressed":
        return f"{_pick(rng, _STRESSES)} {_pick(rng, _ADJECTIVES[label])}"
    return f"{_pick(rng, _DENIALS)} {_pick(rng, _ADJECTIVES[_opposite(label)])}"


def _opposite(label: str) -> str:
    return REVIEW_LABELS[label == "negative"]


def _pick(rng: random.Random, options: Sequence[str]) -> str:
    # Python promises the same numbers in every version for `random()` alone, not for `choice()`.
    return options[int(rng.random() * len(options))]
