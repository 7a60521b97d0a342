"""Texts in tables that people have: other separators, Parquet, rows without labels, ids."""

import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rnn_lab.errors import UserError
from rnn_lab.io import parquet
from rnn_lab.io.records import Record, read_records

EXPECTED = [Record("good, and; more", ("pos",)), Record("bad", ("neg",))]


def read(path: Path, content: str, **options: Any) -> list[Record]:
    path.write_text(content)
    return list(read_records(path, **options))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("header", [True, False])
def test_the_separator_of_csv_is_inferred(tmp_path: Path, separator: str, header: bool) -> None:
    rows = [["text", "label"]] * header + [['"good, and; more"', "pos"], ["bad", "neg"]]
    content = "".join(separator.join(row) + "\n" for row in rows)
    options = {} if header else {"header": False, "text_column": 1, "label_column": 2}
    assert read(tmp_path / "a.csv", content, **options) == EXPECTED


def test_the_separator_can_be_set(tmp_path: Path) -> None:
    content = "text,a^label\nx,y^pos\n"
    assert read(tmp_path / "a.csv", content, separator="^", text_column=1)[0].text == "x,y"
    with pytest.raises(UserError, match=r"has no column 'text'; it has: a, b"):
        read(tmp_path / "a.csv", "a;b\n1;2\n", separator=";")


def test_blanks_around_labels_are_ignored(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", "text,label\n a , neg\nb,neg \n")
    assert found == [Record(" a ", ("neg",)), Record("b", ("neg",))]


UNLABELED = {
    "a.csv": "text,label\na,x\nb,\nc, \n",
    "a.tsv": "text\tlabel\na\tx\nb\t\nc\t \n",
    "a.jsonl": '{"text": "a", "label": "x"}\n{"text": "b", "label": null}\n{"text": "c"}\n',
}


@pytest.mark.parametrize("name", UNLABELED)
def test_labels_may_be_missing_on_request(tmp_path: Path, name: str) -> None:
    found = read(tmp_path / name, UNLABELED[name], allow_unlabeled=True)
    assert found == [Record("a", ("x",)), Record("b", ()), Record("c", ())]
    with pytest.raises(UserError, match=r"(row|line) \d"):
        list(read_records(tmp_path / name))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet"])
def test_other_columns_are_read_on_request(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"id": ["7", "8"], "text": ["x", "y"], "label": ["a", "b"]})
    path = tmp_path / name
    if name == "a.parquet":
        frame.to_parquet(path)
    elif name == "a.jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if name == "a.tsv" else ",")
    records = list(read_records(path, labeled=False, keep_columns=True))
    expected = [{"id": "7", "label": "a"}, {"id": "8", "label": "b"}]
    assert [dict(record.columns) for record in records] == expected
    assert not any(record.columns for record in read_records(path))


def test_parquet_has_texts_and_labels_of_several_types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "CHUNK_ROWS", 2)
    path = tmp_path / "a.parquet"
    times = [datetime.datetime(2024, 1, 31, hour) for hour in range(3)]
    frame = {"text": ["x", "y", "z"], "label": [1.0, None, 0.0], "tags": [["a"], [], ["b", "c"]]}
    pd.DataFrame({**frame, "time": times}).to_parquet(path)
    found = list(read_records(path, allow_unlabeled=True, keep_columns=True))
    assert [record.labels for record in found] == [("1",), (), ("0",)]
    assert found[2].columns["time"] == "2024-01-31 02:00:00"
    multi = list(read_records(path, label_column="tags", label_separator="|", text_column=1))
    assert multi == [Record("x", ("a",)), Record("y", ()), Record("z", ("b", "c"))]


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        ({"text": ["x", None], "label": ["a", "b"]}, {}, "row 2: 'text' is None, expected a str"),
        ({"text": ["x"], "label": [""]}, {}, "row 1: the label is empty"),
        ({"text": ["x"], "label": [0.5]}, {}, "row 1: label 0.5, expected a string or an integer"),
        ({"text": ["x"], "label": ["a"]}, {"text_column": "b"}, "no column 'b'; it has: text, la"),
    ],
)
def test_malformed_parquet_is_reported(
    tmp_path: Path, frame: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    pd.DataFrame(frame).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match=message):
        list(read_records(tmp_path / "a.parquet", **options))


def test_parquet_is_read_from_uncompressed_files_only() -> None:
    with pytest.raises(UserError, match="Parquet cannot be read from -: give an uncompressed"):
        read_records("-", format="parquet", labeled=False)
