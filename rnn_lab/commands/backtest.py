"""Backtest a forecaster on every origin of the test split, against naive baselines.

Examples:
    rnn-lab backtest --ckpt_path best.ckpt --data.file load.csv
    rnn-lab backtest --ckpt_path best.ckpt --compare '[other.ckpt]'
"""

import csv
import inspect
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jsonargparse import Namespace

from rnn_lab.commands._backtest_tables import score_tables
from rnn_lab.commands._concise_parser import ConciseParser
from rnn_lab.commands._run_checkpoint import add_run_name_options, checkpoint_path
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.loading import load
from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.backtest import (
    ROLLING,
    PeriodicallyRefitForecaster,
    Result,
    backtest,
    baselines,
    to_rows,
)
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.data import ForecastDataModule
from rnn_lab.tasks.forecasting.files import ForecastingFiles
from rnn_lab.tasks.forecasting.forecast_table import ForecastTable, SeriesErrors
from rnn_lab.tasks.forecasting.metrics import Forecast
from rnn_lab.tasks.forecasting.predictor import ForecastPredictor
from rnn_lab.tasks.forecasting.reader import SeriesReader
from rnn_lab.tasks.forecasting.reports import to_panels
from rnn_lab.training.reports import evenly_spaced
from rnn_lab.training.runs import artifact_path, run_dir_of

log = logging.getLogger("rnn_lab")

OVERRIDES = ("file", "root", "split", "stride", "season_length")  # options of the data
STORED = frozenset(inspect.signature(ForecastingFiles).parameters) - {*OVERRIDES}
PANELS = 6  # windows in the plot of forecasts


def main(options: Sequence[str]) -> None:
    """Backtest a checkpoint.

    Args:
        options: Command-line arguments after `backtest`.

    Raises:
        UserError: If an option or the checkpoint is invalid.
    """
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    log.setLevel(logging.INFO)
    _check_data_options(options)
    args = _parser().parse_args(list(options))
    args.ckpt_path = checkpoint_path(args)
    for name in ("recalibrate_every", "refit_every"):
        if args[name] is not None and args[name] < 1:
            raise UserError(f"{name} must be at least 1, got {args[name]}")
    checkpoint = Checkpoint.open(args.ckpt_path)  # keeping it open avoids reading it twice
    data = _data(args, checkpoint)
    folder = Path(args.output) if args.output else _output_dir(args.ckpt_path)
    models = _models(args, data, folder)
    results: list[Result] = []
    test = data.split("test")
    by_series = SeriesErrors(test)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "forecasts.parquet" if args.forecasts else None
    (folder / "forecasts.parquet").unlink(missing_ok=True)  # of an earlier backtest
    with ForecastTable(path, test) as table:

        def record(name: str, batch: WindowBatch, forecast: Forecast) -> None:
            by_series.add(name, batch, forecast)
            table.add(name, batch, forecast)

        everything = {**models, **baselines(data)}
        for result in backtest(everything, data, args.recalibrate_every, record):
            results.append(result)
            log.info("%s: MSE %.4f", result.name, float(result.errors.compute()["mse"]))
    _write(list(to_rows(results)), folder / "backtest.csv")
    _write(list(by_series.rows()), folder / "backtest_by_series.csv")
    _plot(next(iter(models.values())), data, results, folder)
    sys.stdout.write(score_tables(results, by_series.by_target()) + "\n")
    if path is not None:
        log.info("%s: %s rows, %.1f MB", path.name, f"{table.rows:,}", path.stat().st_size / 1e6)
    log.info("wrote errors by step and by series, and plots to %s", folder)


def _parser() -> ConciseParser:
    parser = ConciseParser(
        prog="rnn-lab backtest",
        description="Forecast from every origin of the test split, and compare with baselines.",
    )
    parser.add_argument("--ckpt_path", type=str, required=True, help="checkpoint of a forecaster")
    add_run_name_options(parser)
    parser.add_argument(
        "--compare", type=list[str] | None, help="further checkpoints, trained on the same series"
    )
    parser.add_argument(
        "--data.file",
        type=str | None,
        help="table of ForecastingFiles, whose path is not saved in the checkpoint",
    )
    parser.add_argument("--data.root", type=str | None, help="folder of datasets")
    parser.add_argument(
        "--data.split",
        type=list[int] | list[float] | list[str] | None,
        help="split, if it differs from training",
    )
    parser.add_argument("--data.stride", type=int | None, help="steps from origin to origin")
    parser.add_argument("--data.season_length", type=int | None, help="steps per season")
    parser.add_argument(
        "--recalibrate_every",
        type=int,
        default=24,
        help="origins between recalibrations of the rolling intervals",
    )
    parser.add_argument(
        "--refit_every",
        type=int | None,
        help="retrain the model every so many steps of the test split, with the config of the run",
    )
    parser.add_argument(
        "--forecasts",
        type=bool,
        default=True,
        help="write every forecast to forecasts.parquet: a row for each model, origin, step and "
        "target, about 30 bytes each",
    )
    parser.add_argument(
        "--output", type=str | None, help="output folder; default: backtest in the run directory"
    )
    parser.add_argument("--device", type=str, default="cpu", help="device, such as cuda:0")
    return parser


def _output_dir(checkpoint: str) -> Path:
    run = run_dir_of(Path(checkpoint))
    if run is None:
        raise UserError(f"{checkpoint} is not inside a run directory: set --output=FOLDER")
    return artifact_path(run, "backtest")


def _check_data_options(options: Sequence[str]) -> None:
    """Refuse options of the data that the checkpoint sets.

    Raises:
        UserError: If there is one.
    """
    for option in options:
        key, _, name = option.partition("=")[0].replace("-", "_").partition(".")
        if key == "__data" and name not in OVERRIDES and name.partition(".")[0] in STORED:
            known = ", ".join(f"--data.{each}" for each in OVERRIDES)
            raise UserError(
                f"--data.{name} is set by the checkpoint: remove it; options of the data that "
                f"may differ from training are {known}"
            )


def _data(args: Namespace, checkpoint: Checkpoint) -> ForecastDataModule:
    """Build the data module of the checkpoint, with the options of the command line."""
    if not (checkpoint.has_data and issubclass(checkpoint.data_class, ForecastDataModule)):
        raise UserError(f"{args.ckpt_path} is not a forecaster: backtest needs one")
    overrides = {k: args[f"data.{k}"] for k in OVERRIDES if args[f"data.{k}"] is not None}
    cls, recipe = checkpoint.data_class, checkpoint.data
    try:
        return cls(**{**recipe["init_args"], **overrides})
    except TypeError as error:
        raise UserError(f"{cls.__name__}: {error}") from error


def _models(
    args: Namespace, data: ForecastDataModule, folder: Path
) -> dict[str, ForecastPredictor]:
    """Load the checkpoints by name, that of `--ckpt_path` first."""
    models: dict[str, ForecastPredictor] = {}
    for path in [args.ckpt_path, *(args.compare or ())]:
        model = load(path, args.device)
        if not isinstance(model, ForecastPredictor):
            raise UserError(f"{path} is not a forecaster")
        task = model.task
        if (task.horizon, task.channels) != (data.horizon, data.channels):
            raise UserError(
                f"{path} forecasts {task.horizon} steps of {task.channels} channels, expected "
                f"{data.horizon} steps of {data.channels}"
            )
        _check_comparable(path, model.reader, data, next(iter(models.values()), None))
        name = type(task).__name__
        models[name if name not in models else f"{name} {len(models) + 1}"] = model
    if args.refit_every is not None:
        name, first = next(iter(models.items()))
        refit = _refit(args, folder)
        models[f"{name}, refitted"] = PeriodicallyRefitForecaster(
            first, data, args.refit_every, refit
        )
    return models


def _check_comparable(
    path: str, reader: SeriesReader, data: ForecastDataModule, first: ForecastPredictor | None
) -> None:
    """Refuse a checkpoint with other columns, windows or scaling than the data or the first one."""
    roles = ("targets", "future_covariates", "past_covariates", "static_covariates", "calendar")
    for role in roles:
        columns = [getattr(each.config, role) or [] for each in (reader, data.reader)]
        if columns[0] != columns[1]:
            trained, present = (", ".join(names) or "none" for names in columns)
            raise UserError(f"{path} was trained with {role} {trained}, the data has {present}")
    if reader.input_length != data.input_length:
        raise UserError(
            f"{path} has input_length {reader.input_length}, expected {data.input_length}: compare "
            "checkpoints with the same input_length"
        )
    pair = [each.scaler for each in (reader, reader if first is None else first.reader)]
    for name in ("location", "scale", "feature_location", "feature_scale"):
        if not np.array_equal(*(getattr(scaler, name) for scaler in pair)):
            raise UserError(f"{path} was trained with another scaling or on other series")


def _refit(args: Namespace, folder: Path) -> Callable[[int, list[str]], ForecastPredictor]:
    """Return a function that trains the model of the run on rows before a time."""
    run = run_dir_of(Path(args.ckpt_path))
    config = None if run is None else run / "config.yaml"
    if config is None or not config.exists():
        raise UserError(f"refit_every needs the config.yaml of the run of {args.ckpt_path}")

    def refit(period: int, split: list[str]) -> ForecastPredictor:
        from rnn_lab.commands import _cli

        run_dir = folder / f"refit-{period}"
        best, split_file = run_dir / "checkpoints" / "best.ckpt", run_dir / "split.json"
        if not (split_file.exists() and json.loads(split_file.read_text()) == split):
            log.info("refitting on rows before %s", split[1])
            line = ["-c", str(config), f"--data.split={json.dumps(split)}", "--test=false"]
            line += [f"--trainer.default_root_dir={run_dir}", "--overwrite=true"]
            if args["data.file"] is not None:
                line.append(f"--data.file={args['data.file']}")
            _cli.main(["fit", *line, "--trainer.enable_progress_bar=false"])
            split_file.write_text(json.dumps(split))
        model = load(str(best), args.device)
        assert isinstance(model, ForecastPredictor)
        return model

    return refit


def _write(rows: Sequence[dict[str, object]], path: Path) -> None:
    """Write a table; undefined values are empty."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow({k: "" if value != value else value for k, value in row.items()})


def _plot(
    model: ForecastPredictor, data: ForecastDataModule, results: Sequence[Result], folder: Path
) -> None:
    from rnn_lab.tasks.forecasting.plots import plot_errors_by_step, plot_forecasts

    test = data.split("test")
    rows = evenly_spaced(len(test), PANELS)
    batch, forecast = model.forecast(test, rows)
    plot_forecasts(to_panels(test, rows, batch, forecast)).savefig(folder / "forecasts.png")
    mse = {
        result.name: result.errors.by_step()["mse"].numpy()
        for result in results
        if not result.name.endswith(ROLLING)
    }
    plot_errors_by_step(mse).savefig(folder / "errors_by_step.png")
