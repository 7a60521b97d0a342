"""Time and memory of reading windows from a table that does not fit into memory.

    python tests/benchmarks/windows.py --rows 100000000

Writes a Parquet file into a temporary folder: a timestamp per second and three columns of noisy
sine waves. A separate process prepares it with `ForecastingFiles`, fits the scaler, and reads
shuffled training batches with 96 input steps and a horizon of 96. Meanwhile its anonymous memory
is sampled; pages of memory-mapped files are not counted, since the system can reclaim them. The
folder is removed at the end.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np
from preparation import watch  # the benchmark in this folder

import rnn_lab

LIMIT = 1000  # megabytes of memory
CHANNELS, BATCH, ROWS_AT_ONCE = 3, 32, 1_000_000


def write_table(path: Path, rows: int) -> int:
    """Write a table and return its size in bytes."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    rng = np.random.default_rng(0)
    names = [f"y{channel + 1}" for channel in range(CHANNELS)]
    schema = pa.schema([("date", pa.timestamp("s")), *((name, pa.float32()) for name in names)])
    with ParquetWriter(path, schema, compression="lz4") as writer:
        for first in range(0, rows, ROWS_AT_ONCE):
            seconds = np.arange(first, min(first + ROWS_AT_ONCE, rows))
            wave = np.sin(seconds[:, None] * (2 * np.pi / 86_400) + np.arange(CHANNELS))
            values = (wave + 0.1 * rng.standard_normal(wave.shape)).astype(np.float32)
            columns = [seconds.astype("datetime64[s]"), *values.T]
            writer.write_table(pa.table([pa.array(column) for column in columns], schema))
    return path.stat().st_size


def prepare_and_read(path: str, batches: int) -> None:
    """Prepare the table and read batches, in the monitored process."""
    rnn_lab.configure_cpu()  # as on the command line: it changes how memory is reused
    from rnn_lab.datamodules import ForecastingFiles

    start = time.perf_counter()
    data = ForecastingFiles(path, batch_size=BATCH)
    windows = data.split("train")
    where = "memory-mapped" if isinstance(data.panel.values, np.memmap) else "in memory"
    print(
        f"{len(data.panel.values):,} rows, {where}; {len(windows):,} training windows, ready "
        f"in {time.perf_counter() - start:.0f} s",
        flush=True,
    )
    loader = data.train_dataloader()
    seconds, start = [], time.perf_counter()
    for _ in islice(loader, batches):
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
    p99 = statistics.quantiles(seconds, n=100)[98]
    print(
        f"{len(seconds):,} batches of {BATCH} windows: "
        f"median {1000 * statistics.median(seconds):.2f} ms, "
        f"mean {1000 * statistics.mean(seconds):.2f} ms, 99th percentile {1000 * p99:.2f} ms"
    )


def main() -> None:
    """Write the table, read it in a process, and report time and memory."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--batches", type=int, default=2000, help="training batches to read")
    parser.add_argument("--read", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        return prepare_and_read(options.read, options.batches)
    with tempfile.TemporaryDirectory(prefix="rnn-lab-") as folder:
        path = Path(folder) / "table.parquet"
        size = write_table(path, options.rows) / 1e6
        print(f"{options.rows:,} rows written, {size:,.0f} MB of Parquet", flush=True)
        command = [sys.executable, __file__, "--read", str(path), "--batches", str(options.batches)]
        changed = {**os.environ, "XDG_CACHE_HOME": folder, "HOME": folder}
        seconds, peak = watch(command, changed)
    print(f"{peak:,.0f} MB of memory at most in {seconds:.0f} s", end=", ")
    print(f"{'under' if peak < LIMIT else 'OVER'} the limit of {LIMIT:,} MB")
    sys.exit(peak >= LIMIT)


if __name__ == "__main__":
    main()
