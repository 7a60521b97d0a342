"""Files with seeded damage: every reader returns records or raises a `UserError` of one line."""

import gzip
import random
import shutil
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rnn_lab.datamodules import ForecastingFiles, SyntheticReviews, TextFiles
from rnn_lab.errors import UserError
from rnn_lab.io.records import read_records
from rnn_lab.io.tables import read_frames
from rnn_lab.io.ts_files import TSFile, read_series
from rnn_lab.io.word_vectors import read_vectors
from rnn_lab.tasks.forecasting.panel.builder import read_panel
from rnn_lab.tasks.forecasting.panel.panel import PanelConfig
from rnn_lab.tasks.translation.data import read_tabbed

pytestmark = pytest.mark.slow
MUTATIONS = 300  # of each file
MAX_SECONDS = 5  # for one of them
SERIES = "".join(f"{i % 3},2024-01-{1 + i // 3:02d},{i}.5,{'ab'[i % 2]}\n" for i in range(60))
CSV = 'text,label\n"good, ""very""\nmuch so",pos\nbad,neg\n' * 20
FILES = {
    "texts.csv": CSV.encode(),
    "texts.tsv": b"text\tlabel\ngood film\tpos\nbad\tneg\n" * 20,
    "texts.jsonl": b'{"text": "good", "label": ["a", 1]}\n{"label": 0, "text": "b"}\n' * 20,
    "texts.txt": "pos good filmé\nneg bad\n".encode() * 20,
    "pairs.txt": b"ein Hund\ta dog\nzwei\ttwo\n" * 20,
    "series.csv": f"unique_id,ds,y,kind\n{SERIES}".encode(),
    "a.ts": b"@dimensions 2\n@classLabel true a b\n@data\n" + b"1,2,?:3,4,5:a\n1,2:3,4:b\n" * 20,
    "values.jsonl": b'{"values": [[1, null], [2.5, 3]]}\n' * 20,
    "vectors.txt": b"3 2\n" + b"good 1 2\nbad 0.5 -1e3\n" * 20,
}
CONFIG = PanelConfig(
    time_column="ds", id_column="unique_id", targets=["y"], future_covariates=["kind"]
)
READERS: dict[str, Callable[[Path], Any]] = {
    "texts": lambda path: list(read_records(path, keep_columns=True)),
    "pairs": lambda path: list(read_tabbed(path)),
    "series": lambda path: read_panel(lambda: read_frames(path), CONFIG),
    "a": lambda path: list(TSFile(path)),
    "values": lambda path: list(read_series(path)),
    "vectors": lambda path: read_vectors(path, ["<pad>", "good", "bad"], 2),
}
TOKENS = (b"\0", b"\xff\xfe", b'"', b"\n", b"\r", b"\t", b",", b":", b"{" * 50, b"[" * 5000,
          b"nan", b"1e400", b"-9223372036854775809", b"9" * 400, b"0001-01-01", b"\\ud800",
          b"@data\n")  # fmt: skip


def content_of(name: str, tmp_path: Path) -> bytes:
    """Return the undamaged content of a file, by its name."""
    if name.endswith(".gz"):
        return gzip.compress(FILES[name.removesuffix(".gz")], mtime=0)
    if name == "texts.parquet":
        frame = pd.DataFrame({"text": ["good film", "bad"] * 50, "label": ["pos", "neg"] * 50})
    elif name == "series.parquet":
        (tmp_path / "a.csv").write_bytes(FILES["series.csv"])
        frame = pd.read_csv(tmp_path / "a.csv", parse_dates=["ds"])
    else:
        return FILES[name]
    frame.to_parquet(tmp_path / "a.parquet", compression="snappy")
    return (tmp_path / "a.parquet").read_bytes()


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Return a content with one to three kinds of damage at random positions."""
    for _ in range(rng.randint(1, 3)):
        first, last = sorted(rng.randrange(len(content) + 1) for _ in range(2))
        kind = rng.choice(("flip", "byte", "cut", "delete", "repeat", "splice", "token"))
        if kind in ("flip", "byte") and content:
            position = min(first, len(content) - 1)
            value = rng.randrange(256) if kind == "byte" else content[position] ^ 1 << first % 8
            content = content[:position] + bytes([value]) + content[position + 1 :]
        elif kind == "cut":
            content = content[:last]
        elif kind == "delete":
            content = content[:first] + content[min(last, first + 20) :]
        elif kind == "repeat":
            content = content[:last] + content[first:last] * rng.randint(1, 3) + content[last:]
        elif kind == "splice":
            content = content[last:] + content[:first]
        elif kind == "token":
            content = content[:first] + rng.choice(TOKENS) + content[first:]
    return content


def check(read: Callable[[Path], Any], path: Path) -> bool:
    """Read a file, and return whether it was refused, in one line and in little time."""
    start = time.process_time()
    message = ""
    try:
        read(path)
    except UserError as error:
        message = str(error)
    assert time.process_time() - start < MAX_SECONDS
    assert "\n" not in message
    assert not message or path.name in message
    return bool(message)


NAMES = [*FILES, *(f"{name}.gz" for name in FILES), "texts.parquet", "series.parquet"]


@pytest.mark.parametrize("name", NAMES)
def test_every_reader_refuses_damaged_files_in_one_line(tmp_path: Path, name: str) -> None:
    content, read = content_of(name, tmp_path), READERS[name.partition(".")[0]]
    path = tmp_path / name
    path.write_bytes(content)
    assert not check(read, path)
    refused = 0
    for n in range(MUTATIONS):
        path.write_bytes(mutated(content, random.Random(zlib.crc32(f"{name} {n}".encode()))))
        refused += check(read, path)
    assert 0 < refused <= MUTATIONS


def batch_values(data: Any) -> list[Any]:
    batch = data.split("train")[np.arange(8)]
    return [each.tolist() for each in batch if hasattr(each, "tolist")]


def cached(name: str, folder: Path) -> Callable[[], list[Any]]:
    """Return a function that opens prepared data of a kind and returns its first values."""
    if name == "reviews":
        return lambda: batch_values(SyntheticReviews(50, 10, 10))
    if name == "texts":
        rows = (f"text number {i},{'ab'[i % 2]}\n" for i in range(60))
        (folder / "texts.csv").write_text(f"text,label\n{''.join(rows)}")
        return lambda: batch_values(TextFiles(str(folder / "texts.csv")))
    (folder / "series.csv").write_bytes(FILES["series.csv"])
    data = {"file": str(folder / "series.csv"), "input_length": 4, "horizon": 2}
    return lambda: [ForecastingFiles(**data).split("train").panel.values.tolist()]


@pytest.mark.parametrize("name", ["reviews", "texts", "series"])
def test_damaged_prepared_data_is_never_read(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    read = cached(name, tmp_path)
    expected = read()
    (entry,) = (path for path in (tmp_path / "cache/rnn_lab/prepared").iterdir() if path.is_dir())
    shutil.copytree(entry, tmp_path / "good")
    files = sorted((tmp_path / "good").iterdir())
    for n in range(MUTATIONS // 3):
        rng = random.Random(n)
        good = rng.choice(files)
        (entry / good.name).write_bytes(mutated(good.read_bytes(), rng))
        start = time.process_time()
        assert repr(read()) == repr(expected)
        assert time.process_time() - start < MAX_SECONDS
