"""Parameter grids of arrays."""

import pytest
import yaml

from rnn_lab.commands._grid import MAX_SUFFIX_LENGTH, options_of, read, suffixes
from rnn_lab.commands._parsing import split_options
from rnn_lab.errors import UserError


def written(folder, content):
    path = folder / "grid.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


def test_a_mapping_yields_all_combinations(tmp_path):
    points = read(written(tmp_path, "a: [1, 2]\nb: [x, y, z]\n"))
    assert points == [{"a": a, "b": b} for a in (1, 2) for b in "xyz"]


def test_a_list_yields_its_entries(tmp_path):
    points = [{"a": 1}, {"a": 2, "b": "x"}]
    assert read(written(tmp_path, points)) == points


@pytest.mark.parametrize("value", [0.5, 3, True, None, [1, 2], {"a": 1}])
def test_values_reach_the_parser_unchanged(value):
    ((option,),) = options_of({"model.a": value})
    assert split_options([option]) == [[option]]
    assert yaml.safe_load(option.removeprefix("--model.a=")) == value


def test_suffixes_use_short_names_unless_they_are_ambiguous():
    assert suffixes([{"model.a": 1, "data.b": 2}]) == ["-a=1-b=2"]
    assert suffixes([{"model.a": 1, "data.a": 2}]) == ["-model.a=1-data.a=2"]


def test_suffixes_are_valid_names_of_folders():
    (suffix,) = suffixes([{"a": "x/y z", "b": [1, 2]}])
    assert "/" not in suffix
    assert " " not in suffix


def test_runs_need_distinct_and_short_names():
    with pytest.raises(UserError, match=r"2 runs of the array would have the same name, NAME-a=1"):
        suffixes([{"a": 1}, {"a": 1}])
    assert len(suffixes([{"a": "x" * (MAX_SUFFIX_LENGTH - 3)}])[0]) == MAX_SUFFIX_LENGTH
    with pytest.raises(UserError, match="the name of a run would be too long"):
        suffixes([{"a": "x" * (MAX_SUFFIX_LENGTH - 2)}])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "contains no runs"),
        ("text", "contains no runs"),
        ("a: 1", "a must be a list of values, got 1"),
        ("a: []", "a must be a list of values"),
        ("[a]", "each entry of the list must map options to values"),
        ("[{}]", "each entry of the list must map options to values"),
        ("a: [", "cannot be read"),
        ("name: [x]", "name cannot vary between runs"),
        ("[{trainer.default_root_dir: x}]", "trainer.default_root_dir cannot vary between runs"),
    ],
)
def test_an_invalid_file_is_reported(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        read(written(tmp_path, content))
