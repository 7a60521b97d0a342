"""Lines in bounded memory: every reader refuses a line or a row above its limit."""

import codecs
import gzip
import io
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from rnn_lab.errors import UserError
from rnn_lab.io import lines as module
from rnn_lab.io import records, tables, ts_files, word_vectors
from rnn_lab.io.lines import LimitedFile, RowLines, bounded_lines, format_names
from rnn_lab.io.records import read_records
from rnn_lab.io.tables import read_frames
from rnn_lab.io.ts_files import read_series
from rnn_lab.io.word_vectors import read_vectors

READERS: dict[str, Callable[[Path], Iterable[Any]]] = {
    "a.csv": read_records,
    "a.tsv": read_records,
    "a.jsonl": read_records,
    "a.txt": read_records,
    "b.txt": lambda path: read_records(path, labeled=False),
    "series.csv": read_frames,
    "series.tsv": read_frames,
    "a.ts": read_series,
    "series.jsonl": read_series,
    "vectors.txt": lambda path: read_vectors(path, ["x"], 2),
}


def limited(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    for name in ("LINE_LIMIT", "RECORD_LIMIT"):
        for user in (module, records, ts_files, word_vectors):
            monkeypatch.setattr(user, name, limit, raising=False)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("name", READERS)
def test_every_reader_refuses_a_line_above_the_limit(
    tmp_path: Path, name: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(monkeypatch, 1000)
    path = tmp_path / f"{name}{suffix}"
    data = b"x" * 1001 + b"\n"
    path.write_bytes(gzip.compress(data) if suffix else data)
    with pytest.raises(UserError, match=rf"{path} line 1 has more than 1,000 bytes"):
        list(READERS[name](path))


def test_names_are_formatted_in_one_short_line() -> None:
    assert format_names(["a", "b\nc", 3]) == "a, b c, 3"
    assert format_names(range(100), limit=2) == "0, 1, ..."


def test_a_line_of_the_limit_is_read() -> None:
    file = io.BytesIO(b"12345\n123456\n")
    assert list(bounded_lines(file, "file", 7)) == [b"12345\n", b"123456\n"]
    file.seek(0)
    with pytest.raises(UserError, match="file line 2 has more than 6 bytes"):
        list(bounded_lines(file, "file", 6))


def test_a_row_of_many_lines_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, 1000)
    path = tmp_path / "a.csv"
    path.write_text('text,label\na,b\n"never closed,b\n' + "c,d\n" * 1000)
    with pytest.raises(UserError, match=r"row 3 \(line 3\) has more than 1,000 characters: is a"):
        list(read_records(path))


def test_the_characters_of_each_row_are_counted_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECORD_LIMIT", 4)
    rows = RowLines(["abc\n", "def\n", "gh\n"])
    assert next(rows) == "abc\n"
    rows.start_row("row 2")
    assert next(rows) == "def\n"
    with pytest.raises(UserError, match="row 2 has more than 4 characters"):
        next(rows)


def test_a_table_with_an_unclosed_quote_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "CHUNK_BYTES", 100_000)
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,2\n"1,2\n' + "1,2\n" * 1_000_000)
    with pytest.raises(UserError, match=r"a row that does not end by line \d+: is a quote"):
        list(read_frames(path))


@pytest.mark.parametrize("size", [1, 3, 10, 1000])
def test_a_limited_file_serves_all_bytes(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECORD_LIMIT", 10)
    content = b"first\n" + b"12345678\n" * 50
    file = LimitedFile(io.BytesIO(content), "file", 1000)
    assert file.first_lines == content.splitlines(keepends=True)[:20]
    assert b"".join(iter(lambda: file.read(size), b"")) == content
    with pytest.raises(UserError, match="file line 21 has more than 10 bytes"):
        LimitedFile(io.BytesIO(b"1\n" * 20 + b"1" * 20), "file", 1000).readall()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", READERS)
def test_every_reader_names_utf_16_and_utf_32(tmp_path: Path, name: str, encoding: str) -> None:
    marks = {"utf-16-be": codecs.BOM_UTF16_BE}
    path = tmp_path / name
    path.write_bytes(marks.get(encoding, b"") + "text,label\na,b\n".encode(encoding))
    with pytest.raises(UserError, match=rf"{path} is {encoding[:6].upper()}, which is not supp"):
        list(READERS[name](path))


def test_a_file_of_a_folder_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MEMBER_LIMIT", 100)
    (tmp_path / "pos").mkdir()
    (tmp_path / "pos/a.txt.gz").write_bytes(gzip.compress(b"x" * 101))
    with pytest.raises(UserError, match=r"a\.txt\.gz contains text of more than 100 bytes"):
        list(read_records(tmp_path))


@pytest.mark.slow
def test_five_gigabytes_in_one_line_take_little_memory_and_time(tmp_path: Path) -> None:
    member = gzip.compress(b"x" * (1 << 26))
    for name in READERS:
        (tmp_path / f"{name}.gz").write_bytes(member * 80)
    script = f"""
        import sys
        from pathlib import Path
        sys.path[:0] = {[str(Path(__file__).parent)]!r}
        from test_lines import READERS, UserError
        for name, read in READERS.items():
            try:
                list(read(Path({str(tmp_path)!r}) / f"{{name}}.gz"))
            except UserError as error:
                assert "bytes" in str(error), error
            else:
                raise AssertionError(name)
        # Unlike ru_maxrss, this does not start from the peak of the process that started this one.
        status = Path("/proc/self/status").read_text()
        print(status.partition("VmHWM:")[2].split()[0])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1 << 20  # KiB, so 1 GiB
