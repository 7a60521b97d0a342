"""Generated pairs of dates."""

import re
import subprocess
import sys
from collections import defaultdict
from datetime import date, timedelta
from itertools import combinations

import babel
import pytest
from babel.dates import format_date

from rnn_lab.core.generated import SPLITS
from rnn_lab.errors import UserError
from rnn_lab.tasks.translation.dates import (
    FIRST,
    LAST,
    LOCALES,
    date_formats,
    dates,
    source_version,
)


def year(number: int) -> list[date]:
    first = date(number, 1, 1)
    return [first + timedelta(n) for n in range((date(number + 1, 1, 1) - first).days)]


@pytest.mark.parametrize("target", ["iso", "de"])
def test_dates_depend_on_the_arguments_alone(target):
    first = list(dates(40, 1, "train", target))
    assert first == list(dates(40, 1, "train", target))
    assert first != list(dates(40, 2, "train", target))
    assert first != list(dates(40, 1, "valid", target))


def test_a_larger_set_starts_with_the_smaller_one():
    assert list(dates(10, 0, "test")) == list(dates(30, 0, "test"))[:10]


@pytest.mark.slow
def test_another_process_generates_the_same_dates():
    start = "from rnn_lab.tasks.translation.dates import dates"
    program = f"{start}; print(ascii(list(dates(20, 3, 'train'))))"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert printed.stdout.decode().strip() == ascii(list(dates(20, 3, "train")))


def test_every_source_is_unambiguous():
    # A leap year has every day of every month; the year itself always has four digits.
    days_of = defaultdict(set)
    for each in date_formats():
        for day in year(2020):
            days_of[each.write(day)].add(day)
    assert all(len(days) == 1 for days in days_of.values())


def test_every_format_has_the_full_year():
    for each in date_formats():
        assert re.findall(r"\d{4}", each.write(date(1987, 6, 5))) == ["1987"]


def test_sources_are_distinct():
    sources = [source for source, _ in dates(5_000, 0, "train")]
    assert len(set(sources)) == 5_000


@pytest.mark.parametrize("seeds", [(0, 0), (0, 1)])
def test_a_day_belongs_to_one_split_for_all_formats_and_seeds(seeds):
    generated = [
        {iso for _, iso in dates(2_000, seed, split)} for split in SPLITS for seed in seeds
    ]
    for (i, first), (j, second) in combinations(enumerate(generated), 2):
        if i // len(seeds) != j // len(seeds):
            assert not first & second


def test_iso_targets_are_dates_of_two_centuries():
    days = [date.fromisoformat(target) for _, target in dates(5_000, 0, "train")]
    assert min(days) >= FIRST
    assert max(days) <= LAST
    assert {day.year for day in days} == set(range(1900, 2100))


@pytest.mark.parametrize("locale", LOCALES)
def test_every_locale_is_among_the_sources(locale):
    written = {each.write(date(2021, 3, 4)) for each in date_formats()}
    assert format_date(date(2021, 3, 4), "long", locale) in written


@pytest.mark.parametrize("target", ["de", "pt_PT", "ja"])
def test_a_target_in_another_language_has_the_weekday_if_the_source_does(target):
    days = [day for number in range(2000, 2010) for day in year(number)]
    plain = {format_date(day, "long", target): day for day in days}
    full = {format_date(day, "full", target): day for day in days}
    for source, translation in dates(2_000, 0, "train", target):
        if day := plain.get(translation) or full.get(translation):
            has_weekday = {each.write(day): each.has_weekday for each in date_formats(target)}
            assert has_weekday[source] == (translation in full)


@pytest.mark.parametrize(("target", "language"), [("de", "de"), ("en_GB", "en"), ("pt_PT", "pt")])
def test_no_source_is_in_the_target_language(target, language):
    assert language not in {each.locale.language for each in date_formats(target)}


@pytest.mark.parametrize("target", ["iso", "ar", "he", "fr"])
def test_texts_have_plain_spaces_and_no_direction_marks(target):
    for pair in dates(2_000, 0, "train", target):
        for text in pair:
            assert text == " ".join(text.split())
            assert not re.search("[\u00a0\u202f\u200e\u200f\u061c]", text)


def test_the_version_names_the_locale_data():
    assert source_version() == f"Babel {babel.__version__}"


@pytest.mark.parametrize("target", ["xx", "", "German", "de-DE-1-2"])
def test_an_unknown_locale_is_refused(target):
    with pytest.raises(UserError, match="target must be iso or a locale"):
        dates(1, 0, "train", target)


def test_an_unknown_split_is_refused():
    with pytest.raises(UserError, match="split must be one of train, valid, test, got 'dev'"):
        dates(1, 0, "dev")


@pytest.mark.parametrize("size", [-1, 10**9])
def test_a_size_out_of_range_is_refused(size):
    with pytest.raises(UserError, match=f"pairs per split, got {size}"):
        dates(size, 0, "train")
