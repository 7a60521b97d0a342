"""The part of `rnn-lab predict` that forecasts: a table of series in, a table of what comes out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from rnn_lab.data.frames import read_frames
from rnn_lab.errors import UserError
from rnn_lab.inference import ForecastPredictor

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet"}


def forecast(args: Namespace, predictor: ForecastPredictor, path: Path | None) -> None:
    """Forecast what comes after the last row of each series of a file.

    Args:
        args: Options of `predict`.
        predictor: Of the checkpoint.
        path: Where the forecast goes; None writes CSV to standard output.

    Raises:
        UserError: If the input is wrong, or the output has another ending.
    """
    format = args.format or ("csv" if path is None else ENDINGS.get(path.suffix, ""))
    if format not in ENDINGS.values() or (format == "parquet" and path is None):
        names = ", ".join(ENDINGS.values())
        raise UserError(f"a forecast is written as {names}; name it by --format or by --output")
    found = predictor.predict(_read(args.input), args.intervals, source=args.input)
    if path is None:
        _write(found, format, sys.stdout)
        return
    from rnn_lab.commands.predict import beside  # it imports this file

    if format == "parquet":
        path.parent.mkdir(parents=True, exist_ok=True)
        found.to_parquet(path, index=False)
        return
    with beside(path) as file:
        _write(found, format, file)


def _read(input: str) -> "pd.DataFrame":
    import pandas as pd

    if input == "-":
        return pd.read_csv(sys.stdin)
    return pd.concat([chunk.frame for chunk in read_frames(Path(input))], ignore_index=True)


def _write(found: "pd.DataFrame", format: str, file: object) -> None:
    if format == "csv":
        found.to_csv(file, index=False)
    else:
        found.to_json(file, orient="records", lines=True, date_format="iso")
