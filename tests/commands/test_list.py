"""The recurrent layers in `rnn-lab list`."""

import re

import pytest

from rnn_lab.__main__ import main
from rnn_lab.commands import list as command
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
    output = capsys.readouterr().out.partition("\nlayers:\n")[2].partition("\n\n")[0]
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
