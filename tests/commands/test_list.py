"""The overview of `rnn-lab list` and its descriptions of what is named."""

import re

import pytest

from rnn_lab import datamodules, models
from rnn_lab.__main__ import main
from rnn_lab.commands import list as command
from rnn_lab.commands._configs import shipped_configs
from rnn_lab.nn import LAYERS


@pytest.fixture(scope="module")
def listed():
    return {layer.name: layer for layer in command.layers()}


def test_every_layer_is_listed_in_the_order_of_the_registry(listed):
    assert list(listed) == list(LAYERS)


@pytest.mark.parametrize("name", LAYERS)
def test_the_description_of_a_layer_matches_its_class(name, listed):
    layer, cls = listed[name], LAYERS[name]
    assert layer.year == str(cls.year)
    assert layer.cost == cls.cost
    assert layer.parallel == ("yes" if cls.parallel else "no")
    assert layer.summary == cls.__doc__.partition("\n")[0]


@pytest.mark.parametrize("name", LAYERS)
def test_the_source_of_a_layer_has_authors_url_and_year(name, listed):
    authors, url = listed[name].source.split(", ")
    assert re.fullmatch(r"https://(arxiv\.org/abs/\d{4}\.\d{4,5}|doi\.org/10\.\d+/\S+)", url)
    source = re.search(r"Source: (.+)", LAYERS[name].__doc__).group(1)
    assert source.startswith(f"{authors} ({listed[name].year}), {url}")


def test_the_table_has_two_aligned_lines_per_layer(capsys):
    assert main(["list"]) == 0
    output = (
        capsys.readouterr().out.partition("\nlayers, for --model.layer:\n")[2].partition("\n\n")[0]
    )
    header, *lines = output.splitlines()
    lines, legend = lines[: 2 * len(LAYERS)], lines[2 * len(LAYERS) :]
    assert max(map(len, output.splitlines())) <= 120
    columns = [header.index(name) for name in ("year", "cost", "parallel", "source")]
    ends = [*columns[1:], None]
    for name, first, second in zip(LAYERS, lines[::2], lines[1::2], strict=True):
        cells = [first[i:j].strip() for i, j in zip(columns, ends, strict=True)]
        assert first[: columns[0]].strip() == name
        assert re.fullmatch(r"\d{4} \S.* (yes|no) \S.* https://\S+", " ".join(cells))
        assert second[: columns[0]].isspace()
        assert second[columns[0] :] == LAYERS[name].__doc__.partition("\n")[0]
    assert "multiply-adds per step" in " ".join(legend)


def test_the_overview_has_every_name_once_below_its_task(capsys):
    assert main(["list"]) == 0
    output = capsys.readouterr().out
    paths = shipped_configs()
    for name in (*models.__all__, *datamodules.__all__, *LAYERS, *paths):
        assert len(re.findall(rf"^ {{2,4}}{name} ", output, re.MULTILINE)) == 1
    for task in command.tasks():
        section = command.task_table(task)
        assert section in output
        shown = set(re.findall(r"^    (\w+) ", section, re.MULTILINE))
        classes = {**vars(models), **vars(datamodules)}
        exported = (*models.__all__, *datamodules.__all__)
        own = {name for name in exported if classes[name].__module__.split(".")[2] == task}
        assert shown == own | {name for name, path in paths.items() if path.parent.name == task}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("forecasting", "Forecasting: "),
        ("LSTMClassifier", "LSTMClassifier: Text classifier"),
        ("IMDB", "IMDB: Film reviews"),
        ("MinGRU", "  MinGRU  2024 "),
        ("imdb", "# IMDB film reviews"),
    ],
)
def test_what_is_named_is_described(name, line, capsys):
    assert main(["list", name]) == 0
    output = capsys.readouterr().out
    assert any(each.startswith(line) for each in output.splitlines())
    assert main(["list", name, "regression"]) == 0
    assert capsys.readouterr().out.startswith(output.rstrip() + "\n\nRegression: ")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("imbd", "did you mean IMDB or imdb?"),
        ("lstmclassifier", "did you mean LSTMClassifier or "),
        ("zzzz", "`rnn-lab list` shows all names"),
        ("--foo", "list takes names, not options, got --foo"),
    ],
)
def test_an_unknown_name_gets_near_ones(name, hint, capsys):
    assert main(["list", name]) == 1
    assert hint in capsys.readouterr().err
