"""Tables in chunks, and typed access to their columns."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from rnn_lab.errors import UserError
from rnn_lab.io import parquet, tables
from rnn_lab.io.tables import (
    Chunk,
    as_chunks,
    categorical_columns,
    check_columns,
    is_categorical,
    is_text,
    read_frames,
    read_number_columns,
    read_numbers,
    read_strings,
    read_times,
)

FRAME = pd.DataFrame({"a": [1.5, np.nan, 3.0, 4.0, 5.0], "b": list("vwxyz")})


def column(values: object) -> Chunk:
    return Chunk(pd.DataFrame({"a": values}), "table", 11)


def written(folder: Path, name: str) -> Path:
    path = folder / name
    if name.endswith(".parquet"):
        FRAME.to_parquet(path)
    else:
        FRAME.to_csv(path, index=False, sep="\t" if ".tsv" in name else ",")
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.txt", "a.tsv", "a.TSV", "a.parquet"])
@pytest.mark.parametrize("chunk_rows", [1, 2, 5, 100])
def test_every_format_is_read_in_chunks_of_any_size(
    tmp_path: Path, name: str, chunk_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "CHUNK_ROWS", chunk_rows)
    path = written(tmp_path, name.lower()).rename(tmp_path / name)
    chunks = list(read_frames(path))
    pd.testing.assert_frame_equal(pd.concat([c.frame for c in chunks], ignore_index=True), FRAME)
    assert chunks[-1].where(len(chunks[-1].frame) - 1) == f"{path} row 5"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty, expected rows of numbers"),
        ("a.csv", b"a,b\n", "is empty, expected rows of numbers"),
        ("a.csv", b"a,b\n1,2,3\n", "is not a table: "),
        ("a.csv", b"a,b\n1,\xff\n", r"is not utf-8 \(byte 0xff\)"),
        ("a.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9], "is truncated or damaged"),
        ("a.parquet", b"a,b\n1,2\n", "is not a Parquet file, or it is damaged"),
    ],
)
def test_a_file_that_is_not_a_table_is_reported(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(read_frames(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.csv", "does not exist"),
        ("a.xlsx", "cannot infer the format of "),
        ("folder.csv", "is not a file"),
    ],
)
def test_an_invalid_path_is_reported(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserError, match=message):
        list(read_frames(tmp_path / name))


def test_a_frame_is_a_single_chunk_unless_it_is_empty() -> None:
    (chunk,) = as_chunks(FRAME, "table")
    assert chunk.where(0) == "table row 1"
    with pytest.raises(UserError, match="table is empty"):
        list(as_chunks(FRAME[:0], "table"))


def test_a_missing_column_is_reported_with_the_existing_ones() -> None:
    (chunk,) = as_chunks(FRAME, "table")
    check_columns(chunk, ["b", "a"])
    with pytest.raises(UserError, match="table has no column 'c'; it has: a, b"):
        check_columns(chunk, ["a", "c"])


def test_numbers_are_parsed_and_missing_values_are_nan() -> None:
    np.testing.assert_array_equal(read_numbers(column(["1", None, "2e1"]), "a"), [1, np.nan, 20])
    assert read_numbers(column([1, 2]), "a").dtype == np.float32


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["1", "n/k"], "table row 12: column 'a' contains 'n/k', expected a number"),
        ([1.0, np.inf], "table row 12: column 'a' is inf, expected a finite number"),
        ([1.0, 1e60], r"table row 12: column 'a' is 1e\+60, expected a finite number"),
        ([1.0, None], "table row 12: column 'a' is missing, expected a number"),
    ],
)
def test_an_invalid_number_is_reported_with_its_row(values: list[object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_numbers(column(values), "a", required=True)


def test_text_columns_are_distinguished_from_numbers() -> None:
    kinds = {
        values: (is_text(pd.Series(values)), is_categorical(pd.Series(values)))
        for values in [(1, 2), ("1", "2"), ("1", "x"), ("x", "y"), (None, None)]
    }
    assert kinds == {
        (1, 2): (False, False),
        ("1", "2"): (True, False),
        ("1", "x"): (True, False),
        ("x", "y"): (True, True),
        (None, None): (False, False),
    }


def test_strings_may_not_be_missing() -> None:
    assert read_strings(column(["x", "y"]), "a").tolist() == ["x", "y"]
    with pytest.raises(UserError, match="table row 12: column 'a' is missing, expected a value"):
        read_strings(column(["x", None]), "a")


@pytest.mark.parametrize(
    "values",
    [
        ["1970-01-01 00:00", "1970-01-01 01:00"],
        ["01/01/1970 00:00:00", "01/01/1970 01:00:00"],
        ["1970-01-01T02:00+02:00", "1970-01-01T02:00+01:00"],
        pd.to_datetime(["1970-01-01 00:00", "1970-01-01 01:00"]),
        pd.to_datetime(["1970-01-01 00:00", "1970-01-01 01:00"]).tz_localize("UTC"),
    ],
)
def test_timestamps_are_nanoseconds_since_1970(values: object) -> None:
    times, are_integers = read_times(column(values), "a")
    assert times.tolist() == [0, 3600 * 10**9]
    assert not are_integers


def test_integer_times_stay_as_they_are() -> None:
    times, are_integers = read_times(column([3, 5]), "a")
    assert times.tolist() == [3, 5]
    assert are_integers


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["2024-01-31", "yesterday"], "table row 12: the time 'yesterday' in 'a' cannot be parsed"),
        (["2024-01-31", None], "table row 12: the time in 'a' is missing"),
        ([1.5, 2.5], "table row 11: the time '1.5' in 'a' cannot be parsed"),
        (["2024-01-31", "9999-01-01"], "table row 12: the time '9999-01-01'"),
    ],
)
def test_an_invalid_time_is_reported_with_its_row(values: list[object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_times(column(values), "a")


def test_columns_of_numbers_are_read_together_as_one_by_one() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan], "c": ["3", None], "d": ["x", "y"]})
    chunk = Chunk(frame, "table", 1)
    for columns in (["b", "a"], ["a", "c"]):
        expected = np.stack([read_numbers(chunk, column) for column in columns], 1)
        np.testing.assert_array_equal(read_number_columns(chunk, columns), expected)
    assert categorical_columns(chunk) == ["d"]
    with pytest.raises(UserError, match="table row 2: column 'a' is inf, expected a finite"):
        read_number_columns(Chunk(pd.DataFrame({"a": [1, np.inf]}), "table", 1), ["a"])


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.table([[1], [2]], names=["a", "a"])
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet has more than one column 'a'"):
        list(read_frames(tmp_path / "a.parquet"))


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_table_of_too_many_columns_is_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_COLUMNS", 1)
    with pytest.raises(UserError, match=r"has 2 columns, at most 1 are .* in long format"):
        list(read_frames(written(tmp_path, name)))


@pytest.mark.parametrize("separator", [";", "\t", "|"])
@pytest.mark.parametrize("decimal", [".", ","])
def test_separator_and_decimal_mark_are_inferred(
    tmp_path: Path, separator: str, decimal: str
) -> None:
    path = tmp_path / "a.csv"
    rows = (f"2024-01-0{i}{separator}{i}{decimal}5\r\n" for i in range(1, 6))
    path.write_bytes(f"\ufeffds{separator}y\r\n{''.join(rows)}".encode())
    (chunk,) = read_frames(path)
    assert list(chunk.frame.columns) == ["ds", "y"]
    np.testing.assert_array_equal(read_numbers(chunk, "y"), np.arange(1, 6) + 0.5)


@pytest.mark.parametrize("cell", ["n.a.", "1076.04", "1.076,04"])
def test_the_cell_that_hides_a_decimal_comma_is_named(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "a.csv"
    rows = [f"2024-01-0{i};{cell if i == 5 else f'{i},5'};text\n" for i in range(1, 9)]
    path.write_text("ds;y;note\n" + "".join(rows))
    (chunk,) = read_frames(path)
    assert categorical_columns(chunk) == ["ds", "note"]
    with pytest.raises(UserError, match=f"row 5: column 'y' contains '{cell}', expected"):
        read_numbers(chunk, "y")


def test_the_separator_can_be_set(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a^b\n1^2\n")
    (chunk,) = read_frames(tmp_path / "a.csv", separator="^")
    assert chunk.frame.to_dict("list") == {"a": [1], "b": [2]}


@pytest.mark.parametrize("first", ["01.02.2024", "1.2.2024", "01.02.2024 00:00"])
def test_dates_with_dots_start_with_the_day(first: str) -> None:
    times, numbered = read_times(column([first, first.replace("1.", "13.", 1).lstrip("0")]), "a")
    assert not numbered
    assert list(times.astype("datetime64[ns]").astype("datetime64[D]").astype(str)) == [
        "2024-02-01",
        "2024-02-13",
    ]
