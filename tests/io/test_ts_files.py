"""Readers of time series: `.ts` files and JSON lines."""

import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from rnn_lab.errors import UserError
from rnn_lab.io.ts_files import TSFile, read_series

HEADER = """\
#Two sensors
@problemName Tiny
@timeStamps false
@missing true
@univariate false
@dimensions 2
@equalLength false
@classLabel true up down
@data
"""
CASES = "1,2,3:4,5,6:up\n\n# in between\n-1.5,?:NaN,2e1:down\n"


def written(folder: Path, content: str | bytes, name: str = "a.ts") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_series_has_its_steps_and_its_label(tmp_path: Path) -> None:
    archive = TSFile(written(tmp_path, HEADER + CASES))
    assert (archive.classes, archive.dimensions) == (["up", "down"], 2)
    first, second = archive
    np.testing.assert_array_equal(first.values, [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(second.values, [[-1.5, np.nan], [np.nan, 20]])
    assert (first.label, second.label) == ("up", "down")


@pytest.mark.parametrize(
    "content",
    [
        "@classLabel true 0 1\n@data\n1,2,3:0\n4,5,6:1",
        "@CLASSLABEL TRUE 0 1\r\n@DATA\r\n1 , 2,3:0\r\n4,5,6: 1\r\n",
        "\ufeff@univariate true\n@equalLength true\n@seriesLength 3\n@classLabel true 0 1\n"
        "@data\n1,2,3:0\n4,5,6:1\n",
        "#latin-1: \xe9\n@dimension 1\n@classLabel true 0 1\n@data\n1,2,3:0\n4,5,6:1\n".encode(
            "latin-1"
        ),
    ],
    ids=["minimal", "uppercase", "byte order mark", "comment in another encoding"],
)
def test_headers_are_read_in_all_common_forms(tmp_path: Path, content: str | bytes) -> None:
    series = list(TSFile(written(tmp_path, content)))
    assert [each.label for each in series] == ["0", "1"]
    assert [each.values.ravel().tolist() for each in series] == [[1, 2, 3], [4, 5, 6]]


def test_a_compressed_file_is_read_the_same(tmp_path: Path) -> None:
    path = written(tmp_path, gzip.compress((HEADER + CASES).encode()), "a.ts.gz")
    assert [series.label for series in TSFile(path)] == ["up", "down"]
    assert len(list(read_series(path))) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2:3,4", r"line 10: no label after the last colon, expected one of up, down"),
        ("1,2:3,4:", r"line 10: no label after the last colon"),
        ("1,2:3,4:left", r"line 10: label 'left' is not in the header, which has up, down"),
        ("1,2:up", r"line 10: 1 dimensions, expected 2"),
        ("1:2:3:up", r"line 10: 3 dimensions, expected 2"),
        ("up", r"line 10: 0 dimensions, expected 2"),
        ("1,2:3:up", r"line 10: the dimensions have different lengths: 2, 1"),
        ("1,2:3,x4:up", r"line 10: 'x4' is not a finite number"),
        ("1,2:3,inf:up", r"line 10: 'inf' is not a finite number"),
        ("1,2:3,:up", r"line 10: '' is not a finite number"),
        (":1:up", r"line 10: '' is not a finite number"),
        ("1,2:3,4:up\n1,2:3,4", r"line 11: no label"),
        (b"1,2:3,\xe9:up", r"line 10: byte 0xe9 is not UTF-8"),
    ],
)
def test_a_malformed_series_is_reported_with_its_line(
    tmp_path: Path, line: str | bytes, message: str
) -> None:
    content = HEADER.encode() + (line if isinstance(line, bytes) else line.encode())
    path = written(tmp_path, content)
    with pytest.raises(UserError, match=rf"a\.ts {message}"):
        list(TSFile(path))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("@timeStamps false", "@timeStamps true", "line 3: timestamps are not supported"),
        (
            "@timeStamps false",
            "@timeStamps no",
            "line 3: @timestamps must be true or false, got 'no'",
        ),
        (
            "@dimensions 2",
            "@dimensions two",
            "line 6: @dimensions must be an integer of at least 1, got 'two'",
        ),
        (
            "@dimensions 2",
            "@dimensions 0",
            "line 6: @dimensions must be an integer of at least 1, got '0'",
        ),
        ("@classLabel true up down", "@classLabel true", "line 8: @classLabel true must be"),
        ("@classLabel true up down", "@classLabel true up up", "line 8: .* distinct labels"),
        ("@classLabel true up down", "@classLabel false", "sets @classLabel false: its series"),
        ("@classLabel true up down\n", "", "has no line @classLabel: its series have no labels"),
        ("@classLabel true up down", "@targetLabel true", "line 8: numeric targets"),
        ("@data\n", "", "line 9: a value before @data"),
        (HEADER + CASES, "#nothing\n", "has no line @data: it is not a .ts file, or truncated"),
        (HEADER + CASES, "", "has no line @data"),
        ("@equalLength false", "@equalLength true", "line 13: 2 steps, expected 3"),
        (
            "@equalLength false",
            "@equalLength true\n@seriesLength 4",
            "line 11: 3 steps, expected 4: the header sets @equalLength",
        ),
    ],
)
def test_an_invalid_header_is_reported(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in HEADER + CASES
    path = written(tmp_path, (HEADER + CASES).replace(old, new))
    with pytest.raises(UserError, match=rf"a\.ts {message}"):
        list(TSFile(path))


def test_a_missing_or_damaged_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.ts cannot be read"):
        TSFile(tmp_path / "no.ts")
    compressed = gzip.compress((HEADER + CASES).encode())
    with pytest.raises(UserError, match=r"a\.ts\.gz is truncated or damaged"):
        list(TSFile(written(tmp_path, compressed[:-9], "a.ts.gz")))


def test_series_are_read_with_or_without_labels(tmp_path: Path) -> None:
    labeled = written(tmp_path, HEADER + CASES)
    header = HEADER.replace("@classLabel true up down", "@classLabel false")
    unlabeled = written(tmp_path, header + CASES.replace(":up", "").replace(":down", ""), "b.ts")
    for one, two in zip(read_series(labeled), read_series(unlabeled), strict=True):
        np.testing.assert_array_equal(one, two)


def test_json_lines_contain_a_list_for_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = b'{"values": [[1, 4], [2, null]]}\n\n{"values": [[0.5, 1]]}\n'
    first, second = read_series(written(tmp_path, lines, "a.jsonl"))
    np.testing.assert_array_equal(first, [[1, 4], [2, np.nan]])
    np.testing.assert_array_equal(second, [[0.5, 1]])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert [len(values) for values in read_series("-", "jsonl")] == [2, 1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1, 2]", "line 2 is not an object such as"),
        ("{", "line 2 is not JSON"),
        ('{"value": [[1, 2]]}', "line 2 is not an object such as"),
        ('{"values": []}', r"line 2 has shape \(0,\), expected \(time, features\)"),
        ('{"values": [[]]}', r"line 2 has shape \(1, 0\)"),
        ('{"values": [1, 2]}', r"line 2 has shape \(2,\)"),
        ('{"values": [[1, 2], [3]]}', "line 2: expected lists of numbers of the same length"),
        ('{"values": [["a", 2]]}', "line 2: expected lists of numbers of the same length"),
        ('{"values": [[Infinity, 2]]}', "line 2 contains an infinite value"),
        ('{"values": [[1, 2, 3]]}', "line 2: 3 features, expected 2"),
    ],
)
def test_a_malformed_json_line_is_reported(tmp_path: Path, line: str, message: str) -> None:
    path = written(tmp_path, '{"values": [[1, 2]]}\n' + line, "a.jsonl")
    with pytest.raises(UserError, match=rf"a\.jsonl {message}"):
        list(read_series(path))


def test_an_unknown_format_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot infer the series format of a\.csv"):
        read_series("a.csv")
    with pytest.raises(UserError, match=r"must be ts or jsonl, got 'csv'"):
        read_series("a.csv", "csv")
    with pytest.raises(UserError, match="cannot infer the series format of -"):
        read_series("-")
