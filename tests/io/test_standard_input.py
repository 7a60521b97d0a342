"""Standard input, read line by line as it arrives."""

import io
import os
from types import SimpleNamespace

import pytest

from rnn_lab.io.standard_input import StandardInput, standard_input


def test_lines_are_those_of_the_file() -> None:
    content = b"one\n\ntwo\r\nx\ry\n" + b"z" * 200_000 + b"\nlast"
    file, source = io.BytesIO(content), StandardInput(io.BytesIO(content))
    assert list(iter(lambda: source.readline(1 << 20), b"")) == list(file)
    assert source.readline(10) == b""
    assert source.ready()


def test_a_long_line_is_not_read_to_its_end() -> None:
    file = io.BytesIO(b"z" * 10_000_000)
    assert 1000 < len(StandardInput(file).readline(1001)) < 100_000
    assert file.tell() < 100_000


def test_a_line_is_ready_when_it_has_arrived_completely() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as file, os.fdopen(writer, "wb", 0) as producer:
        source = StandardInput(file)
        assert not source.ready(0)
        producer.write(b"one\ntw")
        assert source.ready(0)
        assert source.readline(100) == b"one\n"
        assert not source.ready(0)
        producer.write(b"o\n")
        assert source.ready(0)
        assert source.readline(100) == b"two\n"
        producer.close()
        assert source.ready(0)
        assert source.readline(100) == b""


def test_standard_input_has_one_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"one\ntwo\n")))
    assert standard_input().readline(100) == b"one\n"
    assert standard_input().readline(100) == b"two\n"
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"other\n")))
    assert standard_input().readline(100) == b"other\n"
