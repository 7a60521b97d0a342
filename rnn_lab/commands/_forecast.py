"""Forecasting in `rnn-lab predict`: read a table of series, write a table of forecasts."""

import logging
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jsonargparse import Namespace

from rnn_lab.commands._inference_options import configure_inference
from rnn_lab.commands._logging import StandardErrorHandler
from rnn_lab.core.loading import load
from rnn_lab.errors import UserError
from rnn_lab.io.tables import read_delimited, read_frames
from rnn_lab.io.waiting import waiting
from rnn_lab.tasks.forecasting.predictor import ForecastPredictor

if TYPE_CHECKING:
    import pandas as pd


FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet"}  # by file extension


def forecast(args: Namespace, devices: Sequence[str], path: Path | None) -> None:
    """Forecast the steps after the last row of each series of a file.

    Args:
        args: Options of `predict`.
        devices: Devices, one process each.
        path: Output file; None writes CSV to standard output.

    Raises:
        UserError: If the input is invalid, or the output format is not supported.
    """
    logging.basicConfig(format="%(message)s", handlers=[StandardErrorHandler()])
    logging.getLogger("rnn_lab").setLevel(logging.INFO)  # the notices about the series
    format = args.format or ("csv" if path is None else FORMATS.get(path.suffix, ""))
    if format not in FORMATS.values() or (format == "parquet" and path is None):
        names = ", ".join(FORMATS.values())
        raise UserError(
            f"the format of forecasts must be one of {names} (parquet needs --output): set "
            "--format, or the extension of --output"
        )
    with nullcontext() if args.input == "-" else waiting(f"reading {args.input}"):
        frame = _read(args.input, args.separator, args.input_format)
    with waiting("forecasting"):
        table = _forecast(args, devices, frame)
    if path is None:
        _write(table, format, sys.stdout)
        return
    from rnn_lab.io.atomic import atomic_write

    if format == "parquet":
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(path, index=False)
        return
    with atomic_write(path) as file:
        _write(table, format, file)


def _forecast(args: Namespace, devices: Sequence[str], frame: "pd.DataFrame") -> "pd.DataFrame":
    """Forecast in this process, or distribute the series over several processes."""
    import pandas as pd

    if len(devices) == 1:
        return _work(args, devices[0], frame)
    column = load(args.ckpt_path).reader.config.id_column
    if column is None or column not in frame.columns:
        raise UserError("a single series needs a single process: remove --trainer.devices")
    parts = np.array_split(frame[column].unique(), len(devices))
    frames = [frame[frame[column].isin(part)] for part in parts if len(part)]
    with ProcessPoolExecutor(len(frames), get_context("spawn")) as pool:
        tables = pool.map(_work, repeat(args), devices, frames)
        return pd.concat(list(tables), ignore_index=True)


def _work(args: Namespace, device: str, frame: "pd.DataFrame") -> "pd.DataFrame":
    predictor: ForecastPredictor = load(args.ckpt_path, device)
    configure_inference(predictor, args)
    return predictor.predict(frame, args.intervals, source=args.input)


def _read(input: str, separator: str | None, format: str | None) -> "pd.DataFrame":
    import pandas as pd

    if input == "-":
        opened, source = sys.stdin.buffer, "standard input"
        chunks = read_delimited(opened, source, separator=separator, format=format or "csv")
    else:
        hint = "set --input-format=csv, tsv or parquet"
        chunks = read_frames(Path(input), separator=separator, format=format, format_hint=hint)
    return pd.concat([chunk.frame for chunk in chunks], ignore_index=True)


def _write(table: "pd.DataFrame", format: str, file: object) -> None:
    if format == "csv":
        table.to_csv(file, index=False)
    else:
        table.to_json(file, orient="records", lines=True, date_format="iso")
