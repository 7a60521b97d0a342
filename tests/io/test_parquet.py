"""Parquet files in batches of rows."""

import random
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from rnn_lab.errors import UserError
from rnn_lab.io import parquet
from rnn_lab.io.parquet import ParquetReader, parquet_errors_named, rows_per_chunk


def written(folder: Path) -> Path:
    path = folder / "a.parquet"
    pd.DataFrame({"text": list("abc"), "n": [1, 2, 3]}).to_parquet(path)
    return path


def test_batches_hold_the_selected_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "CHUNK_ROWS", 2)
    reader = ParquetReader(written(tmp_path))
    assert reader.columns == ["text", "n"]
    batches = list(reader.batches(["n"]))
    assert [batch.to_pydict() for batch in batches] == [{"n": [1, 2]}, {"n": [3]}]


def test_wide_tables_are_read_in_fewer_rows() -> None:
    assert rows_per_chunk(1) == parquet.CHUNK_ROWS
    assert rows_per_chunk(parquet.CHUNK_VALUES) == 1
    assert rows_per_chunk(10 * parquet.CHUNK_VALUES) == 1


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.parquet cannot be read: No such file"):
        ParquetReader(tmp_path / "gone.parquet")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match=r"a\.parquet is not a Parquet file, or it is damaged: "):
        ParquetReader(tmp_path / "a.parquet")


@pytest.mark.parametrize("error", [OSError("corrupt snappy"), KeyError("x"), MemoryError()])
def test_every_error_of_decoding_names_the_file_in_one_line(error: Exception) -> None:
    message = r"a\.parquet is not a Parquet file.*: .*\w"
    with pytest.raises(UserError, match=message), parquet_errors_named(Path("a.parquet")):
        raise error


def test_errors_of_damaged_bytes_are_user_errors(tmp_path: Path) -> None:
    content, rng = written(tmp_path).read_bytes(), random.Random(0)
    refused = 0
    for _ in range(200):
        damaged = bytearray(content)
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        (tmp_path / "b.parquet").write_bytes(damaged)
        try:
            list(ParquetReader(tmp_path / "b.parquet").batches())
        except UserError as error:
            refused += "b.parquet" in str(error)
    assert refused > 20


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
def test_few_bytes_that_stand_for_much_text_are_refused(tmp_path: Path, kind: pa.DataType) -> None:
    path, rows = tmp_path / "a.parquet", 100_000
    text = pa.array(["x" * 1_000_000], kind)
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), text)
    pa.parquet.write_table(pa.table({"text": repeated}), path)
    assert path.stat().st_size < 200_000
    with pytest.raises(UserError, match=r"more than 536,870,912 bytes of text at once"):
        list(ParquetReader(path).batches())


def test_texts_categories_and_missing_texts_are_plain(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frame = pd.DataFrame({"text": ["a", None, "b", "a"], "n": [1, 2, 3, 4]})
    frame.assign(kind=frame["text"].astype("category")).to_parquet(path)
    (batch,) = ParquetReader(path).batches()
    assert batch.to_pydict()["text"] == batch.to_pydict()["kind"] == ["a", None, "b", "a"]
    assert not pa.types.is_dictionary(batch.schema.field("text").type)
    assert list(batch.to_pandas().columns) == ["text", "n", "kind"]
