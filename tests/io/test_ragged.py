"""Ragged arrays on disk: what is written is read."""

import itertools
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from rnn_lab.io import ragged
from rnn_lab.io.ragged import RaggedArrayWriter, TextStore, open_memmap

TEXTS = ["one", "", "größer", "four " * 100, "\0\n"]


@pytest.fixture
def store(tmp_path: Path) -> TextStore:
    with closing(RaggedArrayWriter(tmp_path, "texts", "B")) as writer:
        for text in TEXTS:
            writer.append(text.encode())
    return TextStore(tmp_path, "texts")


def test_texts_are_read_by_index(store: TextStore) -> None:
    assert [store[row] for row in range(len(store))] == TEXTS


@pytest.mark.parametrize("chunk_size", [1, 2, 100])
def test_texts_are_read_in_any_chunk_size(
    store: TextStore, chunk_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ragged, "ENCODE_CHUNK_SIZE", chunk_size)
    assert list(store.read(np.array([0, 2, 3, 4]))) == [TEXTS[row] for row in (0, 2, 3, 4)]


@pytest.mark.parametrize("rows", [[[1, -2], [], [3]], [], [[]]])
def test_offsets_delimit_the_rows(tmp_path: Path, rows: list[list[int]]) -> None:
    with closing(RaggedArrayWriter(tmp_path, "ids", "i")) as writer:
        for row in rows:
            writer.append(row)
    values = open_memmap(tmp_path / "ids.bin", "<i4")
    offsets = open_memmap(tmp_path / "ids.offsets.bin", "<i8")
    pairs = itertools.pairwise(offsets)
    assert [values[start:end].tolist() for start, end in pairs] == rows


def test_a_mapped_file_is_read_only(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    values = open_memmap(tmp_path / "a.bin", "u1")
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 0
