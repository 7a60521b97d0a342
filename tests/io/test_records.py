"""Readers of text records: every format, its options and its errors."""

import codecs
import gzip
import io
import json
import tarfile
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rnn_lab.errors import UserError
from rnn_lab.io import records as module
from rnn_lab.io.records import Record, read_members, read_records

CSV = 'id,text,label\n1,"good, ""very""\nmuch so",pos\n2,bad,neg\n'
FROM_CSV = [Record('good, "very"\nmuch so', ("pos",)), Record("bad", ("neg",))]
TSV = 'id\ttext\tlabel\n1\t"good, so\tpos\n2\tbad\tneg\n'
FROM_TSV = [Record('"good, so', ("pos",)), Record("bad", ("neg",))]
JSONL = '{"text": "good\\nfilm", "label": "pos"}\n\n{"label": 0, "text": "b\\u00e4d"}\n'
FROM_JSONL = [Record("good\nfilm", ("pos",)), Record("bäd", ("0",))]
TXT = "1 good  film\nmoney-fx\tbad film\n0 "
FROM_TXT = [
    Record("good  film", ("1",)),
    Record("bad film", ("money-fx",)),
    Record("", ("0",)),
]
FORMATS = {
    "csv": (CSV, FROM_CSV),
    "tsv": (TSV, FROM_TSV),
    "jsonl": (JSONL, FROM_JSONL),
    "json": (JSONL, FROM_JSONL),
    "txt": (TXT, FROM_TXT),
}


def written(folder: Path, name: str, content: str | bytes) -> Path:
    data = content if isinstance(content, bytes) else content.encode()
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def read(folder: Path, name: str, content: str | bytes, **options: Any) -> list[Record]:
    return list(read_records(written(folder, name, content), **options))


def error_of(folder: Path, name: str, content: str | bytes, **options: Any) -> str:
    """Return the error message about a file, after the file's name."""
    with pytest.raises(UserError) as error:
        read(folder, name, content, **options)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(str(folder / name))
    return message.removeprefix(str(folder / name)).strip()


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_is_read(tmp_path: Path, ending: str, suffix: str) -> None:
    content, records = FORMATS[ending]
    assert read(tmp_path, f"a.{ending}{suffix}", content) == records


@pytest.mark.parametrize("ending", FORMATS)
def test_windows_line_endings_and_a_byte_order_mark_change_nothing(
    tmp_path: Path, ending: str
) -> None:
    content, records = FORMATS[ending]
    data = codecs.BOM_UTF8 + content.replace("\n", "\r\n").encode()
    expected = [Record(r.text.replace("\n", "\r\n") if ending == "csv" else r.text, r.labels)
              for r in records]  # fmt: skip
    for encoding in ("utf-8", "utf-8-sig"):
        assert read(tmp_path, f"a.{ending}", data, encoding=encoding) == expected


@pytest.mark.parametrize("ending", FORMATS)
def test_only_a_line_feed_ends_a_line(tmp_path: Path, ending: str) -> None:
    odd = "a\x85b\u2028c\x0bd\x1ce"
    content = {
        "csv": f"text,label\n{odd},pos\n",
        "tsv": f"text\tlabel\n{odd}\tpos\n",
        "txt": f"pos {odd}\n",
    }.get(ending, json.dumps({"text": odd, "label": "pos"}, ensure_ascii=False) + "\n")
    assert read(tmp_path, f"a.{ending}", content) == [Record(odd, ("pos",))]


def test_an_explicit_format_overrides_the_suffix(tmp_path: Path) -> None:
    assert read(tmp_path, "TREC.train.all", TXT, format="txt") == FROM_TXT


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_unlabeled_records_need_no_label_column(tmp_path: Path, ending: str) -> None:
    content, records = FORMATS[ending]
    found = read(tmp_path, f"a.{ending}", content.replace("label", "other"), labeled=False)
    assert found == [Record(record.text, ()) for record in records]


def test_unlabeled_lines_are_texts_even_if_empty(tmp_path: Path) -> None:
    found = read(tmp_path, "a.txt", "one two\n\nthree\r\nfour", labeled=False)
    assert [record.text for record in found] == ["one two", "", "three", "four"]


def test_an_empty_file_without_header_has_no_records(tmp_path: Path) -> None:
    for ending in ("txt", "jsonl"):
        assert read(tmp_path, f"a.{ending}", "") == []
    assert read(tmp_path, "a.csv", "", header=False, text_column=1, label_column=2) == []


def test_columns_are_selected_by_number_and_several_texts_joined(tmp_path: Path) -> None:
    content = '"3","Title","Some text"\n"1","Other","More"\n'
    found = read(
        tmp_path, "a.csv", content, header=False, text_column=[2, "3"], label_column="1"
    )  # fmt: skip
    assert found == [Record("Title Some text", ("3",)), Record("Other More", ("1",))]


def test_a_name_in_the_header_takes_precedence_over_a_number(tmp_path: Path) -> None:
    content = "2,1\nx,y\n"
    assert read(tmp_path, "a.csv", content, text_column="1", label_column=1)[0].text == "y"
    assert read(tmp_path, "b.csv", "a,b\nx,y\n", text_column="2", label_column=1)[0].text == "y"


def test_several_keys_of_an_object_are_joined(tmp_path: Path) -> None:
    content = '{"a": "x", "b": "y", "c": [1, "two"]}\n'
    found = read(tmp_path, "a.jsonl", content, text_column=("b", "a"), label_column="c")
    assert found == [Record("y x", ("1", "two"))]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text,label\nx,p;q\ny,\nz, q \n"),
        ("a.tsv", "text\tlabel\nx\tp; q\ny\t\nz\tq\n"),
        (
            "a.jsonl",
            '{"text": "x", "label": "p;q"}\n{"text": "y", "label": []}\n'
            '{"text": "z", "label": "q;"}\n',
        ),
        ("a.txt", "p;q x\n; y\nq z\n"),
    ],
)  # fmt: skip
def test_a_separator_splits_labels(tmp_path: Path, name: str, content: str) -> None:
    found = read(tmp_path, name, content, label_separator=";")
    assert found == [Record("x", ("p", "q")), Record("y", ()), Record("z", ("q",))]


def test_blank_lines_are_not_rows(tmp_path: Path) -> None:
    assert len(read(tmp_path, "a.csv", "text,label\n\nx,y\n\n")) == 1
    assert len(read(tmp_path, "a.tsv", "text\tlabel\n\nx\ty\n\n")) == 1
    assert len(read(tmp_path, "a.txt", "\n1 x\n\n")) == 1
    single_column = read(tmp_path, "b.csv", "text\nx\n\ny\n", labeled=False)
    assert [record.text for record in single_column] == ["x", "", "y"]


def test_a_folder_per_class_is_read_in_order(tmp_path: Path) -> None:
    for name in ("pos/b.txt", "neg/c.txt", "pos/a.txt", "neg/d.txt.gz", "pos/x.md", "top.txt"):
        written(tmp_path, name, f"{name}\nmore")
    found = list(read_records(tmp_path))
    assert [(record.text.split()[0], record.labels[0]) for record in found] == [
        ("neg/c.txt", "neg"),
        ("neg/d.txt.gz", "neg"),
        ("pos/a.txt", "pos"),
        ("pos/b.txt", "pos"),
    ]
    assert list(read_records(tmp_path, labeled=False)) == [Record("top.txt\nmore", ())]


def test_members_of_an_archive_are_labeled_by_their_folder(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as target:
        for name in ("d/train/pos/0.txt", "d/urls.md", "d/train/neg/1.txt"):
            info = tarfile.TarInfo(name)
            info.size = len(name)
            target.addfile(info, io.BytesIO(name.encode()))
    expected = [Record("d/train/pos/0.txt", ("pos",)), Record("d/train/neg/1.txt", ("neg",))]
    assert list(read_records(tmp_path / "a.tar.gz")) == expected
    assert list(read_members([(r.text, r.text.encode()) for r in expected])) == expected


def test_standard_input_is_read_and_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.BytesIO("größe\nzwei\n".encode())
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=stdin))
    assert [r.text for r in read_records("-", labeled=False)] == ["größe", "zwei"]
    assert not stdin.closed
    with pytest.raises(UserError, match="cannot be read from standard input"):
        read_records("-")


def test_the_encoding_can_be_set(tmp_path: Path) -> None:
    data = "0 caf\xe9 \x85 gr\xfc\xdfe\n".encode("latin-1")
    assert read(tmp_path, "a.txt", data, encoding="cp1252") == [Record("café … grüße", ("0",))]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"text,label\nx,y\ncaf\xe9,z\n"),
        ("a.tsv", b"text\tlabel\nx\ty\ncaf\xe9\tz\n"),
        ("a.jsonl", b'{"text": "x", "label": 1}\n\n{"text": "caf\xe9"}\n'),
        ("a.txt", b"0 x\n1 y\n0 caf\xe9\n"),
        ("a.txt.gz", b"0 x\n1 y\n0 caf\xe9"),
    ],
)
def test_a_wrong_encoding_is_reported_with_line_and_byte(
    tmp_path: Path, name: str, content: bytes
) -> None:
    assert error_of(tmp_path, name, content) == (
        "is not utf-8 at line 3 (byte 0xe9): "
        "set its encoding (--data.encoding, or --encoding of predict), such as cp1252"
    )


def test_a_wrong_encoding_in_a_folder_is_reported_with_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "pos/a.txt", b"one\ntwo \xe9")
    with pytest.raises(UserError, match=r"pos/a\.txt is not utf-8 at line 2 \(byte 0xe9\)"):
        list(read_records(path.parent.parent))


def test_the_suggested_encoding_differs_from_the_failed_one(tmp_path: Path) -> None:
    message = error_of(tmp_path, "a.txt", b"0 \x81\n", encoding="cp1252")
    assert message.startswith("is not cp1252 at line 1 (byte 0x81): ")
    assert message.endswith("such as latin-1")


@pytest.mark.parametrize("encoding", ["utf-9", "utf-16", "rot13", ""])
def test_an_unsupported_encoding_is_refused(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(UserError, match=f"encoding '{encoding}' "):
        read_records(written(tmp_path, "a.txt", TXT), encoding=encoding)


MALFORMED = {
    "too many fields": ("text,label\na,b\n\na,b,c\n", "row 4 (line 4): 3 fields, expected 2"),
    "too few fields": ('text,label\n"a\nb",c\nd\n', "row 3 (line 4): 1 fields, expected 2"),
    "unclosed quote": ('text,label\na,b\n"c,d\ne,f\n', "row 3 (line 3): a quote is not closed"),
    "text after a quote": (
        'text,label\n"a" b,c\n',
        """row 2 (line 2): ',' expected after '"'""",
    ),
    "carriage return": ("text,label\na\rb,c\n", "row 2 (line 2): a carriage return outside quotes"),
    "empty label": ("text,label\na,\n", "row 2 (line 2): the label is empty"),
    "no such column": ("words,label,x\na,b,c\n", "has no column 'text'; it has: words, label, x"),
    "the same name twice": ("text,text,label\na,b,c\n", "has more than one column 'text'"),
    "empty file": ("", "is empty, expected a row of column names"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_csv_is_reported_with_row_and_reason(tmp_path: Path, case: str) -> None:
    content, expected = MALFORMED[case]
    assert error_of(tmp_path, "a.csv", content).startswith(expected)


def test_malformed_tsv_is_reported_with_line_and_reason(tmp_path: Path) -> None:
    message = error_of(tmp_path, "a.tsv", "text\tlabel\na\tb\nc\n")
    assert message == "line 3: 1 fields, expected 2"


def test_a_column_name_without_a_header_is_refused(tmp_path: Path) -> None:
    message = error_of(tmp_path, "a.csv", "1,x\n", header=False)
    assert message == "has no column 'text': without a header give a number from 1 to 2"
    message = error_of(
        tmp_path, "a.csv", "1,x\n", header=False, text_column=3, label_column=1
    )  # fmt: skip
    assert message == "has no column 3: without a header give a number from 1 to 2"


def test_a_long_field_is_read_but_one_above_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "x" * 1_000_000
    assert read(tmp_path, "a.csv", f'text,label\n"{long}",y\n')[0].text == long
    monkeypatch.setattr(module, "RECORD_LIMIT", 1000)
    message = error_of(tmp_path, "a.csv", f'text,label\n"{long}",y\n')
    assert message == "line 2 has more than 1,000 bytes: split it"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", "line 2 is not JSON: Expecting property name"),
        ("[" * 100_000, "line 2 is not JSON: "),
        ('["x"]', "line 2 is not an object such as"),
        ('{"label": 1, "words": "x"}', "line 2 has no key 'text'; it has: label, words"),
        ('{"text": "x"}', "line 2 has no key 'label'; it has: text"),
        ('{"text": null, "label": 1}', "line 2: 'text' is None, expected a string"),
        ('{"text": "\\ud800", "label": 1}', "line 2: 'text' contains an unpaired surrogate"),
        (
            '{"text": "x", "label": null}',
            "line 2: the label is empty (--data.columns.skip_unlabeled",
        ),
        ('{"text": "x", "label": [0.5]}', "line 2: label 0.5, expected a string or an integer"),
        ('{"text": "x", "label": ""}', "line 2: the label is empty"),
    ],
)
def test_malformed_jsonl_is_reported_with_line_and_reason(
    tmp_path: Path, line: str, expected: str
) -> None:
    content = f'{{"text": "x", "label": 1}}\n{line}\n'
    assert error_of(tmp_path, "a.jsonl", content).startswith(expected)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("1 x\nword\n", "line 2: no space or tab after the label"),
        ("1 x\n y\n", "line 2: the label is empty"),
    ],
)
def test_malformed_lines_are_reported(tmp_path: Path, content: str, expected: str) -> None:
    assert error_of(tmp_path, "a.txt", content).startswith(expected)


def test_a_truncated_gz_is_reported(tmp_path: Path) -> None:
    path = written(tmp_path, "a.txt.gz", "".join(f"{i} text\n" for i in range(99)))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match=r"a\.txt\.gz is truncated or damaged"):
        list(read_records(path))


def test_invalid_paths_and_formats_are_refused_immediately(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"gone\.csv does not exist"):
        read_records(tmp_path / "gone.csv")
    with pytest.raises(UserError, match=r"cannot infer the format of .*a\.dat: give one of csv, "):
        read_records(written(tmp_path, "a.dat", ""))
    with pytest.raises(UserError, match=r"a\.XLSX is a spreadsheet: save it as CSV in UTF-8"):
        read_records(written(tmp_path, "a.XLSX", ""))
    with pytest.raises(UserError, match="format 'xml' is unknown: give one of csv, "):
        read_records(written(tmp_path, "a.csv", CSV), format="xml")
    with pytest.raises(UserError, match=r"empty contains no file <label>/\*\.txt"):
        list(read_records(tmp_path / "empty"))


def test_records_are_read_lazily(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            line = b"x\ty\n"
            buffer[: len(line)] = line
            return len(line)

    endless = io.BufferedReader(Endless())
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=endless))
    for kind, options in {"tsv": {"text_column": 1}, "csv": {"text_column": 1}, "txt": {}}.items():
        records = read_records("-", format=kind, labeled=False, **options)  # type: ignore[arg-type]
        assert len(list(islice(records, 1000))) == 1000


def test_a_missing_column_is_reported_with_a_hint(tmp_path: Path) -> None:
    for name, content in (("a.csv", "words,label\na,b\n"), ("a.jsonl", '{"words": "a"}\n')):
        message = error_of(tmp_path, name, content, column_hint="set --text-column")
        assert message.endswith("(set --text-column)")
