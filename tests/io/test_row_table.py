"""Rows of several processes become one table in order, with bounded memory."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rnn_lab.io import row_table
from rnn_lab.io.row_table import RowTable


def add(table, indices):
    indices = np.array(indices)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.repeat(indices, 2)), 2)
    names = pa.array([f"row {i}" for i in indices.tolist()])
    table.add(indices, {"name": names, "pair": lists})


@pytest.mark.parametrize(("buffered", "in_memory"), [(1, 1), (2, 3), (100, 100)])
def test_rows_of_two_processes_are_in_order(buffered, in_memory, tmp_path, monkeypatch):
    monkeypatch.setattr(row_table, "BUFFERED_ROWS", buffered)
    monkeypatch.setattr(row_table, "SORTED_ROWS", in_memory)
    tables = [RowTable(tmp_path / "rows.parquet", rank) for rank in range(2)]
    tables[0].clear()
    for table, batches in zip(tables, ([[7, 2], [5]], [[0, 6, 1], [4, 3]]), strict=True):
        for batch in batches:
            add(table, batch)
        table.flush()
    assert [table.rows for table in tables] == [3, 5]
    assert tables[0].merge() == 8
    (path,) = tmp_path.iterdir()  # nothing else is left
    rows = pq.read_table(path)
    assert rows.column_names == ["name", "pair"]
    assert rows["name"].to_pylist() == [f"row {i}" for i in range(8)]
    assert rows["pair"].to_pylist() == [[i, i] for i in range(8)]


def test_parts_of_an_earlier_attempt_are_removed(tmp_path):
    interrupted = RowTable(tmp_path / "rows.parquet")
    add(interrupted, [0, 1])
    interrupted.flush()
    table = RowTable(tmp_path / "rows.parquet")
    table.clear()
    add(table, [0])
    table.flush()
    table.merge()
    assert pq.read_table(table.path)["name"].to_pylist() == ["row 0"]


def test_no_rows_give_no_file(tmp_path):
    table = RowTable(tmp_path / "rows.parquet")
    table.flush()
    assert table.merge() == 0
    assert not list(tmp_path.iterdir())
