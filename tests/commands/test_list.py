"""What `rnn-lab list` says of the recurrent layers."""

import re

import pytest

from rnn_lab.__main__ import main
from rnn_lab.commands import list as command
from rnn_lab.nn import LAYERS


@pytest.fixture(scope="module")
def told():
    return {layer.name: layer for layer in command.layers()}


def test_every_layer_is_told_of_in_the_order_of_the_table(told):
    assert list(told) == list(LAYERS)


@pytest.mark.parametrize("name", LAYERS)
def test_what_is_told_of_a_layer_is_what_its_class_says(name, told):
    layer, says = told[name], LAYERS[name]
    assert layer.year == str(says.year)
    assert layer.cost == says.cost
    assert layer.parallel == ("yes" if says.parallel else "no")
    assert layer.line == says.__doc__.partition("\n")[0]


@pytest.mark.parametrize("name", LAYERS)
def test_the_source_of_a_layer_has_authors_an_address_and_its_year(name, told):
    authors, address = told[name].source.split(", ")
    assert re.fullmatch(r"https://(arxiv\.org/abs/\d{4}\.\d{4,5}|doi\.org/10\.\d+/\S+)", address)
    first = re.search(r"Source: (.+)", LAYERS[name].__doc__).group(1)
    assert first.startswith(f"{authors} ({told[name].year}), {address}")


def test_the_list_has_two_lines_a_layer_in_columns(capsys):
    assert main(["list"]) == 0
    printed = capsys.readouterr().out.partition("\nlayers:\n")[2].partition("\n\n")[0]
    head, *lines = printed.splitlines()
    lines, legend = lines[: 2 * len(LAYERS)], lines[2 * len(LAYERS) :]
    assert max(map(len, printed.splitlines())) <= 120
    columns = [head.index(name) for name in ("year", "cost", "parallel", "source")]
    ends = [*columns[1:], None]
    for name, first, second in zip(LAYERS, lines[::2], lines[1::2], strict=True):
        cells = [first[i:j].strip() for i, j in zip(columns, ends, strict=True)]
        assert first[: columns[0]].strip() == name
        assert re.fullmatch(r"\d{4} \S.* (yes|no) \S.* https://\S+", " ".join(cells))
        assert second[: columns[0]].isspace()
        assert second[columns[0] :] == LAYERS[name].__doc__.partition("\n")[0]
    assert "multiply-adds of a step" in " ".join(legend)
