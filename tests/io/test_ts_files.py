import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from rnn_lab.errors import UserError
from rnn_lab.io.ts_files import TSFile, read_series

HEADER = """\
#Two sensors, by hand
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


def test_a_case_is_its_steps_and_its_label(tmp_path: Path) -> None:
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
    ids=["bare", "capitals", "byte order mark", "comment in another encoding"],
)
def test_headers_come_in_many_forms(tmp_path: Path, content: str | bytes) -> None:
    cases = list(TSFile(written(tmp_path, content)))
    assert [case.label for case in cases] == ["0", "1"]
    assert [case.values.ravel().tolist() for case in cases] == [[1, 2, 3], [4, 5, 6]]


def test_a_compressed_file_reads_alike(tmp_path: Path) -> None:
    path = written(tmp_path, gzip.compress((HEADER + CASES).encode()), "a.ts.gz")
    assert [case.label for case in TSFile(path)] == ["up", "down"]
    assert len(list(read_series(path))) == 2


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("1,2:3,4", r"line 10: no label after the last colon, wanted one of up, down"),
        ("1,2:3,4:", r"line 10: no label after the last colon"),
        ("1,2:3,4:left", r"line 10: label 'left' is not in the header, which has up, down"),
        ("1,2:up", r"line 10: 1 dimensions, wanted 2"),
        ("1:2:3:up", r"line 10: 3 dimensions, wanted 2"),
        ("up", r"line 10: 0 dimensions, wanted 2"),
        ("1,2:3:up", r"line 10: the dimensions have unequal lengths: 2, 1"),
        ("1,2:3,x4:up", r"line 10: 'x4' is no finite number"),
        ("1,2:3,inf:up", r"line 10: 'inf' is no finite number"),
        ("1,2:3,:up", r"line 10: '' is no finite number"),
        (":1:up", r"line 10: '' is no finite number"),
        ("1,2:3,4:up\n1,2:3,4", r"line 11: no label"),
        (b"1,2:3,\xe9:up", r"line 10: byte 0xe9 is not UTF-8"),
    ],
)
def test_a_damaged_case_is_named_by_its_line(
    tmp_path: Path, case: str | bytes, message: str
) -> None:
    content = HEADER.encode() + (case if isinstance(case, bytes) else case.encode())
    path = written(tmp_path, content)
    with pytest.raises(UserError, match=rf"a\.ts {message}"):
        list(TSFile(path))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("@timeStamps false", "@timeStamps true", "line 3: series with timestamps are not read"),
        ("@timeStamps false", "@timeStamps no", "line 3: @timestamps is true or false, got 'no'"),
        ("@dimensions 2", "@dimensions two", "line 6: @dimensions is a number from 1, got 'two'"),
        ("@dimensions 2", "@dimensions 0", "line 6: @dimensions is a number from 1, got '0'"),
        ("@classLabel true up down", "@classLabel true", "line 8: @classLabel true lists"),
        ("@classLabel true up down", "@classLabel true up up", "line 8: .* each once"),
        ("@classLabel true up down", "@classLabel false", "says @classLabel false: its series"),
        ("@classLabel true up down\n", "", "has no line @classLabel: its series have no labels"),
        ("@classLabel true up down", "@targetLabel true", "line 8: numbers as targets"),
        ("@data\n", "", "line 9: a value before @data"),
        (HEADER + CASES, "#nothing\n", "has no line @data: it is no .ts file, or cut short"),
        (HEADER + CASES, "", "has no line @data"),
        ("@equalLength false", "@equalLength true", "line 13: 2 steps, wanted 3"),
        (
            "@equalLength false",
            "@equalLength true\n@seriesLength 4",
            "line 11: 3 steps, wanted 4: the header says @equalLength",
        ),
    ],
)
def test_a_header_that_does_not_fit_is_named(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in HEADER + CASES
    path = written(tmp_path, (HEADER + CASES).replace(old, new))
    with pytest.raises(UserError, match=rf"a\.ts {message}"):
        list(TSFile(path))


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.ts cannot be read"):
        TSFile(tmp_path / "no.ts")
    packed = gzip.compress((HEADER + CASES).encode())
    with pytest.raises(UserError, match=r"a\.ts\.gz is truncated or damaged"):
        list(TSFile(written(tmp_path, packed[:-9], "a.ts.gz")))


def test_series_are_read_with_or_without_labels(tmp_path: Path) -> None:
    labeled = written(tmp_path, HEADER + CASES)
    bare = HEADER.replace("@classLabel true up down", "@classLabel false")
    unlabeled = written(tmp_path, bare + CASES.replace(":up", "").replace(":down", ""), "b.ts")
    for one, two in zip(read_series(labeled), read_series(unlabeled), strict=True):
        np.testing.assert_array_equal(one, two)


def test_json_lines_hold_a_list_for_each_step(
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
        ('{"values": []}', r"line 2 has shape \(0,\), wanted \(time, features\)"),
        ('{"values": [[]]}', r"line 2 has shape \(1, 0\)"),
        ('{"values": [1, 2]}', r"line 2 has shape \(2,\)"),
        ('{"values": [[1, 2], [3]]}', "line 2: wanted an equally long list of numbers"),
        ('{"values": [["a", 2]]}', "line 2: wanted an equally long list of numbers"),
        ('{"values": [[Infinity, 2]]}', "line 2 holds an infinite value"),
        ('{"values": [[1, 2, 3]]}', "line 2: 3 features a step, wanted 2"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = written(tmp_path, '{"values": [[1, 2]]}\n' + line, "a.jsonl")
    with pytest.raises(UserError, match=rf"a\.jsonl {message}"):
        list(read_series(path))


def test_a_format_that_is_no_format_of_series_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.csv does not tell how it holds series"):
        read_series("a.csv")
    with pytest.raises(UserError, match=r"from ts or jsonl, got format 'csv'"):
        read_series("a.csv", "csv")
    with pytest.raises(UserError, match="- does not tell how it holds series"):
        read_series("-")
