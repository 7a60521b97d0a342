"""Dates as people write them in several languages, and what they mean: pairs to translate.

A draw is a pure function of its arguments and of Babel's locale data, needs no download, and a
longer draw starts with the shorter one.
"""

import random
import re
from collections.abc import Iterator, Sequence
from datetime import date
from functools import cache
from hashlib import blake2b
from itertools import groupby
from typing import NamedTuple, TypeVar

import babel
from babel import Locale, UnknownLocaleError
from babel.dates import DateTimePattern, parse_pattern

from rnn_lab.core.generated import SPLITS
from rnn_lab.errors import UserError

LOCALES = ("en_US", "en_GB", "de", "fr", "es", "it", "pt", "nl", "sv", "pl", "tr", "id")
FIRST, LAST = date(1900, 1, 1), date(2099, 12, 31)
DAYS = LAST.toordinal() - FIRST.toordinal() + 1
T = TypeVar("T")
_DIRECTION_MARKS = dict.fromkeys(map(ord, "\u061c\u200e\u200f"))


class Form(NamedTuple):
    """One way in which a locale writes a date.

    Attributes:
        locale: Whose names of months and weekdays are used.
        pattern: Which fields are written, and how.
        names_weekday: Whether the weekday is among them.
    """

    locale: Locale
    pattern: DateTimePattern
    names_weekday: bool

    def write(self, day: date) -> str:
        """Write a date with plain spaces and without marks of direction."""
        text = self.pattern.apply(day, self.locale).translate(_DIRECTION_MARKS)
        return " ".join(text.split())


def dates(size: int, seed: int, split: str, target: str = "iso") -> Iterator[tuple[str, str]]:
    """Draw dates of 1900 to 2099, each written in a form of some locale, with their translation.

    A source has one answer: years have four digits, and of the purely numeric forms those that
    put the month before the day are left out. Another language names the weekday where the source
    does. A day belongs to one split only, whatever its form and whatever the seed.

    Args:
        size: Pairs to draw; their sources are distinct.
        seed: Another seed draws other dates and forms.
        split: One of `train`, `valid`, `test`.
        target: `iso` for 2021-03-04, or a locale such as `de` for 4. März 2021; sources are then
            of other languages.

    Returns:
        Pairs of source and target.

    Raises:
        UserError: If the split or the locale is unknown, or the size is negative or more than a
            tenth of what a split holds.
    """
    if split not in SPLITS:
        raise UserError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    found = forms(target)
    limit = DAYS * len(found) // len(SPLITS) // 10
    if not 0 <= size <= limit:
        raise UserError(f"dates can draw 0 to {limit} pairs a split, got {size}")
    return _draw(size, random.Random(f"{seed}/{split}"), SPLITS.index(split), found, target)


def source_version() -> str:
    """Say what else the dates depend on: locale data changes from one Babel to the next."""
    return f"Babel {babel.__version__}"


@cache
def forms(target: str = "iso") -> tuple[Form, ...]:
    """All forms a source may have, of every language but the target's; numeric ones come once."""
    language = None if target == "iso" else _locale(target).language
    found: dict[tuple[str, str], Form] = {}
    for locale in map(Locale.parse, LOCALES):
        for pattern in _patterns(locale) if locale.language != language else ():
            weekday, month_name = "E" in pattern, "MMM" in pattern
            if month_name or not _month_first(pattern):
                form = Form(locale, parse_pattern(pattern), weekday)
                found.setdefault((str(locale) if weekday or month_name else "", pattern), form)
    return tuple(found.values())


def _patterns(locale: Locale) -> Iterator[str]:
    """The patterns of a locale with year, month and day, in one spelling each."""
    usual = [locale.date_formats[length] for length in ("full", "long", "medium", "short")]
    skeletons = sorted(locale.datetime_skeletons.items())
    others = [pattern for name, pattern in skeletons if {*"yMd"} <= {*name} <= {*"yMdE"}]
    for pattern in usual + others:
        written = getattr(pattern, "pattern", pattern)
        written = re.sub("(?<!y)yy(?!y)", "y", written)  # two digits do not say the century
        yield re.sub("(?<!E)E{2,3}(?!E)", "E", written)  # the same abbreviation, said longer


def _month_first(pattern: str) -> bool:
    fields = "".join(re.findall("[yMd]", re.sub("'[^']*'", "", pattern)))
    return fields.startswith("M")


def _locale(name: str) -> Locale:
    try:
        return Locale.parse(name)
    except (UnknownLocaleError, ValueError, TypeError) as error:
        wish = "iso or a locale that Babel knows, such as de"
        raise UserError(f"target must be {wish}, got {name!r}") from error


def _draw(
    size: int, rng: random.Random, split: int, found: tuple[Form, ...], target: str
) -> Iterator[tuple[str, str]]:
    by_locale = [list(group) for _, group in groupby(found, key=lambda form: form.locale)]
    answers = None if target == "iso" else _answers(_locale(target))
    seen: set[str] = set()
    while len(seen) < size:
        day = date.fromordinal(FIRST.toordinal() + int(rng.random() * DAYS))
        # A language as often as another, however many forms it has.
        form = _pick(rng, _pick(rng, by_locale))
        source = form.write(day)
        if _split_of(day) == split and source not in seen:
            seen.add(source)
            answer = answers[form.names_weekday].write(day) if answers else day.isoformat()
            yield source, answer


def _answers(locale: Locale) -> tuple[Form, Form]:
    """What a locale writes in full, without the weekday and with it."""
    long, full = locale.date_formats["long"], locale.date_formats["full"]
    return Form(locale, long, False), Form(locale, full, True)


def _split_of(day: date) -> int:
    digest = blake2b(day.isoformat().encode(), digest_size=8).digest()
    return int.from_bytes(digest) % len(SPLITS)


def _pick(rng: random.Random, options: Sequence[T]) -> T:
    # Python promises the same numbers in every version for `random()` alone, not for `choice()`.
    return options[int(rng.random() * len(options))]
