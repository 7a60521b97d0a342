"""Generated pairs for translation: dates in the formats of many languages and in one format.

The pairs depend on the arguments and Babel's locale data only and need no download. A larger set
starts with the smaller one of the same arguments.
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


class DateFormat(NamedTuple):
    """A date format of a locale.

    Attributes:
        locale: Locale of the names of months and weekdays.
        pattern: The fields and their formats.
        has_weekday: Whether the weekday is one of the fields.
    """

    locale: Locale
    pattern: DateTimePattern
    has_weekday: bool

    def write(self, day: date) -> str:
        """Format a date, with plain spaces and without direction marks."""
        text = self.pattern.apply(day, self.locale).translate(_DIRECTION_MARKS)
        return " ".join(text.split())


def dates(size: int, seed: int, split: str, target: str = "iso") -> Iterator[tuple[str, str]]:
    """Generate dates from 1900 to 2099, each in a format of some locale, with their translation.

    Every source is unambiguous: years have four digits, and purely numeric formats with the month
    before the day are left out. A target in another language names the weekday if the source
    does. A day belongs to one split only, for all formats and seeds.

    Args:
        size: Number of pairs; their sources are distinct.
        seed: Seed of dates and formats.
        split: One of `train`, `valid`, `test`.
        target: `iso` for 2021-03-04, or a locale such as `de` for 4. März 2021; sources are then
            in other languages.

    Returns:
        Pairs of source and target.

    Raises:
        UserError: If the split or the locale is unknown, or the size is negative or more than a
            tenth of the size of a split.
    """
    if split not in SPLITS:
        raise UserError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    formats = date_formats(target)
    limit = DAYS * len(formats) // len(SPLITS) // 10
    if not 0 <= size <= limit:
        raise UserError(f"size must be from 0 to {limit} pairs per split, got {size}")
    return _generate(size, random.Random(f"{seed}/{split}"), SPLITS.index(split), formats, target)


def source_version() -> str:
    """Return the version of Babel, whose locale data the dates depend on."""
    return f"Babel {babel.__version__}"


@cache
def date_formats(target: str = "iso") -> tuple[DateFormat, ...]:
    """Return all source formats of languages other than the target's, numeric ones once."""
    language = None if target == "iso" else _locale(target).language
    formats: dict[tuple[str, str], DateFormat] = {}
    for locale in map(Locale.parse, LOCALES):
        for pattern in _patterns(locale) if locale.language != language else ():
            weekday, month_name = "E" in pattern, "MMM" in pattern
            if month_name or not _month_first(pattern):
                source_format = DateFormat(locale, parse_pattern(pattern), weekday)
                formats.setdefault(
                    (str(locale) if weekday or month_name else "", pattern), source_format
                )
    return tuple(formats.values())


def _patterns(locale: Locale) -> Iterator[str]:
    """Yield the patterns of a locale with year, month and day, in one spelling each."""
    usual = [locale.date_formats[length] for length in ("full", "long", "medium", "short")]
    skeletons = sorted(locale.datetime_skeletons.items())
    others = [pattern for name, pattern in skeletons if {*"yMd"} <= {*name} <= {*"yMdE"}]
    for pattern in usual + others:
        written = getattr(pattern, "pattern", pattern)
        written = re.sub("(?<!y)yy(?!y)", "y", written)  # two digits leave the century open
        yield re.sub("(?<!E)E{2,3}(?!E)", "E", written)  # the same abbreviation, spelled longer


def _month_first(pattern: str) -> bool:
    fields = "".join(re.findall("[yMd]", re.sub("'[^']*'", "", pattern)))
    return fields.startswith("M")


def _locale(name: str) -> Locale:
    try:
        return Locale.parse(name)
    except (UnknownLocaleError, ValueError, TypeError) as error:
        raise UserError(
            f"target must be iso or a locale that Babel knows, such as de, got {name!r}"
        ) from error


def _generate(
    size: int, rng: random.Random, split: int, formats: tuple[DateFormat, ...], target: str
) -> Iterator[tuple[str, str]]:
    by_locale = [list(group) for _, group in groupby(formats, key=lambda each: each.locale)]
    targets = None if target == "iso" else _target_formats(_locale(target))
    seen: set[str] = set()
    while len(seen) < size:
        day = date.fromordinal(FIRST.toordinal() + int(rng.random() * DAYS))
        # All languages are equally frequent, regardless of their number of formats.
        source_format = _pick(rng, _pick(rng, by_locale))
        source = source_format.write(day)
        if _split_of(day) == split and source not in seen:
            seen.add(source)
            if targets is None:
                yield source, day.isoformat()
            else:
                yield source, targets[source_format.has_weekday].write(day)


def _target_formats(locale: Locale) -> tuple[DateFormat, DateFormat]:
    """Return the long format of a locale, without and with the weekday."""
    long, full = locale.date_formats["long"], locale.date_formats["full"]
    return DateFormat(locale, long, False), DateFormat(locale, full, True)


def _split_of(day: date) -> int:
    digest = blake2b(day.isoformat().encode(), digest_size=8).digest()
    return int.from_bytes(digest) % len(SPLITS)


def _pick(rng: random.Random, options: Sequence[T]) -> T:
    # Python guarantees the same numbers in all versions only for `random()`, not for `choice()`.
    return options[int(rng.random() * len(options))]
