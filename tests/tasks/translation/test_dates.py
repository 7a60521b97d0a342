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
from rnn_lab.tasks.translation.dates import FIRST, LAST, LOCALES, dates, forms, source_version


def year(number: int) -> list[date]:
    first = date(number, 1, 1)
    return [first + timedelta(n) for n in range((date(number + 1, 1, 1) - first).days)]


@pytest.mark.parametrize("target", ["iso", "de"])
def test_a_draw_depends_on_its_arguments_alone(target):
    first = list(dates(40, 1, "train", target))
    assert first == list(dates(40, 1, "train", target))
    assert first != list(dates(40, 2, "train", target))
    assert first != list(dates(40, 1, "valid", target))


def test_a_longer_draw_starts_with_the_shorter_one():
    assert list(dates(10, 0, "test")) == list(dates(30, 0, "test"))[:10]


@pytest.mark.slow
def test_another_process_draws_the_same_dates():
    start = "from rnn_lab.tasks.translation.dates import dates"
    program = f"{start}; print(ascii(list(dates(20, 3, 'train'))))"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert printed.stdout.decode().strip() == ascii(list(dates(20, 3, "train")))


def test_every_source_has_one_answer():
    # A leap year holds every day and month there is; the year itself is always written in full.
    meant = defaultdict(set)
    for form in forms():
        for day in year(2020):
            meant[form.write(day)].add(day)
    assert all(len(days) == 1 for days in meant.values())


def test_every_form_writes_the_year_in_full():
    for form in forms():
        assert re.findall(r"\d{4}", form.write(date(1987, 6, 5))) == ["1987"]


def test_no_draw_gives_a_source_twice():
    sources = [source for source, _ in dates(5_000, 0, "train")]
    assert len(set(sources)) == 5_000


@pytest.mark.parametrize("seeds", [(0, 0), (0, 1)])
def test_a_day_belongs_to_one_split_whatever_its_form_and_seed(seeds):
    drawn = [{iso for _, iso in dates(2_000, seed, split)} for split in SPLITS for seed in seeds]
    for (i, first), (j, second) in combinations(enumerate(drawn), 2):
        if i // len(seeds) != j // len(seeds):
            assert not first & second


def test_iso_answers_are_dates_of_two_centuries():
    days = [date.fromisoformat(answer) for _, answer in dates(5_000, 0, "train")]
    assert min(days) >= FIRST
    assert max(days) <= LAST
    assert {day.year for day in days} == set(range(1900, 2100))


@pytest.mark.parametrize("locale", LOCALES)
def test_every_locale_is_among_the_sources(locale):
    written = {form.write(date(2021, 3, 4)) for form in forms()}
    assert format_date(date(2021, 3, 4), "long", locale) in written


@pytest.mark.parametrize("target", ["de", "pt_PT", "ja"])
def test_another_language_names_the_weekday_where_the_source_does(target):
    days = [day for number in range(2000, 2010) for day in year(number)]
    plain = {format_date(day, "long", target): day for day in days}
    full = {format_date(day, "full", target): day for day in days}
    for source, answer in dates(2_000, 0, "train", target):
        if day := plain.get(answer) or full.get(answer):
            named = {form.write(day): form.names_weekday for form in forms(target)}
            assert named[source] == (answer in full)


@pytest.mark.parametrize(("target", "language"), [("de", "de"), ("en_GB", "en"), ("pt_PT", "pt")])
def test_no_source_is_of_the_language_of_the_target(target, language):
    assert language not in {form.locale.language for form in forms(target)}


@pytest.mark.parametrize("target", ["iso", "ar", "he", "fr"])
def test_texts_have_plain_spaces_and_no_marks_of_direction(target):
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
def test_an_impossible_size_is_refused(size):
    with pytest.raises(UserError, match=f"pairs a split, got {size}"):
        dates(size, 0, "train")
