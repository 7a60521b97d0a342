"""Sizes of pages are read from the headers of Parquet files of all kinds."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from rnn_lab.errors import UserError
from rnn_lab.io import parquet
from rnn_lab.io.parquet import ParquetReader
from rnn_lab.io.parquet_pages import CompactReader, page_sizes

TABLE = pa.table(
    {
        "text": [f"text {i % 700}" * (i % 5) if i % 11 else None for i in range(20_000)],
        "number": np.arange(20_000) % 997,
        "list": [[i] * (i % 3) for i in range(20_000)],
    }
)
OPTIONS: list[dict[str, Any]] = [
    {},
    {"compression": "zstd", "data_page_version": "2.0"},
    {"compression": "none", "use_dictionary": False},
    {"data_page_size": 1000, "row_group_size": 7000, "write_page_index": True},
    {"compression": "gzip", "write_statistics": False, "write_page_checksum": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(options) or "default")
def test_the_headers_of_all_pages_are_found(options: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pa.parquet.write_table(TABLE, path, **options)
    metadata = pa.parquet.read_metadata(path)
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    columns = [group.column(n) for group in groups for n in range(metadata.num_columns)]
    sizes = list(page_sizes(path))
    headers = sum(column.total_uncompressed_size for column in columns) - sum(sizes)
    assert 0 < headers < 200 * len(sizes)  # they are counted there, too
    assert len(sizes) >= sum(1 + column.has_dictionary_page for column in columns)


def test_a_page_that_decompresses_to_too_much_is_refused_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"x": [b"\0" * 3_000_000], "n": [1]})
    pa.parquet.write_table(table, path, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 5000
    assert ParquetReader(path).columns == ["x", "n"]
    monkeypatch.setattr(parquet, "BATCH_BYTES", 2_000_000)
    with pytest.raises(UserError, match=r"a page of 3,000,.* bytes, at most"):
        ParquetReader(path)


def test_a_damaged_header_ends_the_search(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pa.parquet.write_table(TABLE, path, data_page_size=1000)
    sizes = list(page_sizes(path))
    content = bytearray(path.read_bytes())
    content[4:100] = b"\xff" * 96
    path.write_bytes(content)
    assert len(list(page_sizes(path))) < len(sizes)


@pytest.mark.parametrize(
    "content", [b"\x18\x7f", b"\x1d", b"\x19\xf5\xff\xff\xff\x7f", b"\x1c" * 9]
)
def test_a_structure_that_is_longer_or_of_an_unknown_type_is_an_error(content: bytes) -> None:
    with pytest.raises((IndexError, ValueError)):
        CompactReader(content).structure({})


def test_fields_of_all_types_are_skipped() -> None:
    fields = [  # of ids 1 to 7: true, byte, integer, double, text, list of truth values, map
        *(b"\x11", b"\x13\x07", b"\x15\x08", b"\x17" + bytes(8), b"\x18\x02ab"),
        *(b"\x19\x21\x01\x02", b"\x1b\x01\x85\x01x\x08"),
    ]
    reader = CompactReader(b"".join(fields) + b"\x1c\x15\x08\x00" + b"\x15\x0a\x00" + b"rest")
    assert reader.structure({3: {}, 8: {1: {}}, 9: {}}) == {3: 4, 8: {1: 4}, 9: 5}
    assert reader._content[reader.position :] == b"rest"
