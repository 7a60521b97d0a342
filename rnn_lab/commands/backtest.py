"""Forecast from every origin of the test split, next to simple baselines."""

import csv
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table

from rnn_lab.commands._parsing import ConciseErrorsMixin
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.loading import load
from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.backtest import (
    PeriodicallyRefitForecaster,
    Result,
    backtest,
    baselines,
    rows_of,
)
from rnn_lab.tasks.forecasting.data import ForecastDataModule
from rnn_lab.tasks.forecasting.predictor import ForecastPredictor
from rnn_lab.tasks.forecasting.reader import SeriesReader
from rnn_lab.tasks.forecasting.reports import to_panels
from rnn_lab.training.runs import artifact_path, run_dir_of

log = logging.getLogger("rnn_lab")

SHOWN = {  # on the screen; the file has all
    "mse": "MSE",
    "mae": "MAE",
    "mase": "MASE",
    "crps": "CRPS",
    "coverage_80": "in 80%",
    "coverage_95": "in 95%",
}
OVERRIDES = ("file", "root", "split", "stride", "season")  # of the data, that may be given anew


class BacktestParser(ConciseErrorsMixin, ArgumentParser):
    """A parser with errors of one line."""


def main(options: Sequence[str]) -> None:
    """Backtest a checkpoint.

    Args:
        options: Words of the command line after `backtest`.

    Raises:
        UserError: If an option or the checkpoint is wrong.
    """
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    log.setLevel(logging.INFO)
    args = _parser().parse_args(list(options))
    if args.renew < 1 or (args.refit is not None and args.refit < 1):
        raise UserError("renew and refit count steps: they must be at least 1")
    checkpoint = Checkpoint.open(args.ckpt_path)  # held, so that it is read once
    data = _data(args, checkpoint)
    folder = Path(args.output) if args.output else _folder(args.ckpt_path)
    models = _models(args, data, folder)
    results: list[Result] = []
    for result in backtest({**models, **baselines(data)}, data, args.renew):
        results.append(result)
        log.info("%s: MSE %.4f", result.name, float(result.errors.compute()["mse"]))
    folder.mkdir(parents=True, exist_ok=True)
    _write(results, folder / "backtest.csv")
    _draw(next(iter(models.values())), data, results, folder)
    Console().print(_table(results))
    log.info("a table by steps and figures lie in %s", folder)


def _parser() -> BacktestParser:
    parser = BacktestParser(
        prog="rnn-lab backtest",
        description="Forecast from every origin of the test split, next to simple baselines.",
    )
    parser.add_argument("--ckpt_path", type=str, required=True, help="checkpoint of a forecaster")
    parser.add_argument(
        "--compare", type=list[str] | None, help="further checkpoints, trained on the same series"
    )
    parser.add_argument(
        "--data.file", type=str | None, help="of ForecastingFiles: the table, again"
    )
    parser.add_argument("--data.root", type=str | None, help="folder of datasets")
    parser.add_argument(
        "--data.split",
        type=list[int] | list[float] | list[str] | None,
        help="another split than in training",
    )
    parser.add_argument("--data.stride", type=int | None, help="steps from origin to origin")
    parser.add_argument("--data.season", type=int | None, help="steps of a season")
    parser.add_argument(
        "--renew",
        type=int,
        default=24,
        help="origins until rolling intervals are calibrated anew",
    )
    parser.add_argument(
        "--refit",
        type=int | None,
        help="train anew every so many steps of the test split, with the run's config.yaml",
    )
    parser.add_argument("--output", type=str | None, help="folder; backtest in that of the run")
    parser.add_argument("--device", type=str, default="cpu", help="where to compute, as cuda:0")
    return parser


def _folder(checkpoint: str) -> Path:
    run = run_dir_of(Path(checkpoint))
    if run is None:
        raise UserError(f"{checkpoint} lies in no run's folder: give --output=FOLDER")
    return artifact_path(run, "backtest")


def _data(args: Namespace, checkpoint: Checkpoint) -> ForecastDataModule:
    """Build the data that the checkpoint was trained on, with what is given anew."""
    if not (checkpoint.has_data and issubclass(checkpoint.data_class, ForecastDataModule)):
        raise UserError(f"{args.ckpt_path} does not forecast: backtest needs a forecaster")
    given = {k: args[f"data.{k}"] for k in OVERRIDES if args[f"data.{k}"] is not None}
    cls, recipe = checkpoint.data_class, checkpoint.data
    try:
        return cls(**{**recipe["init_args"], **given})
    except TypeError as error:
        raise UserError(f"{cls.__name__}: {error}") from error


def _models(
    args: Namespace, data: ForecastDataModule, folder: Path
) -> dict[str, ForecastPredictor]:
    """The checkpoints by name, the one in question first."""
    models: dict[str, ForecastPredictor] = {}
    for path in [args.ckpt_path, *(args.compare or ())]:
        model = load(path, args.device)
        if not isinstance(model, ForecastPredictor):
            raise UserError(f"{path} does not forecast")
        task = model.task
        if (task.horizon, task.channels) != (data.horizon, data.channels):
            raise UserError(f"{path} forecasts {task.horizon} steps of {task.channels} channels")
        _check_alike(path, model.reader, data, next(iter(models.values()), None))
        name = type(task).__name__
        models[name if name not in models else f"{name} {len(models) + 1}"] = model
    if args.refit is not None:
        name, first = next(iter(models.items()))
        again = PeriodicallyRefitForecaster(first, data, args.refit, _refit(args, folder))
        models[f"{name}, refitted"] = again
    return models


def _check_alike(
    path: str, reader: SeriesReader, data: ForecastDataModule, first: ForecastPredictor | None
) -> None:
    """Refuse a checkpoint that reads other columns, or windows unlike those of the first one."""
    for role in ("targets", "known", "observed", "static", "calendar"):
        mine, there = (getattr(each.settings, role) or [] for each in (reader, data.reader))
        if mine != there:
            say = [", ".join(names) or "none" for names in (mine, there)]
            raise UserError(f"{path} was trained with {role} {say[0]}, the data has {say[1]}")
    if reader.input_length != data.input_length:
        seen = f"sees {reader.input_length} steps, windows have {data.input_length}"
        raise UserError(f"{path} {seen}: compare checkpoints of one input_length")
    pair = [each.scaler for each in (reader, reader if first is None else first.reader)]
    for what in ("location", "scale", "feature_location", "feature_scale"):
        if not np.array_equal(*(getattr(scaler, what) for scaler in pair)):
            raise UserError(f"{path} was trained on values scaled otherwise, or on others")


def _refit(args: Namespace, folder: Path) -> Any:
    """Say how to train anew: as the run was trained, on rows up to another time."""
    run = run_dir_of(Path(args.ckpt_path))
    config = None if run is None else run / "config.yaml"
    if config is None or not config.exists():
        raise UserError(f"refit needs the config.yaml of the run of {args.ckpt_path}")

    def refit(stretch: int, split: list[str]) -> ForecastPredictor:
        from rnn_lab.commands import _cli

        place = folder / f"refit-{stretch}"
        best, note = place / "checkpoints" / "best.ckpt", place / "split.json"
        if not (note.exists() and json.loads(note.read_text()) == split):
            log.info("refitting on rows before %s", split[1])
            words = ["-c", str(config), f"--data.split={json.dumps(split)}", "--test=false"]
            where = [f"--trainer.default_root_dir={place}", "--overwrite=true"]
            if args["data.file"] is not None:
                where.append(f"--data.file={args['data.file']}")
            _cli.main(["fit", *words, *where, "--trainer.enable_progress_bar=false"])
            note.write_text(json.dumps(split))
        model = load(str(best), args.device)
        assert isinstance(model, ForecastPredictor)
        return model

    return refit


def _write(results: Sequence[Result], path: Path) -> None:
    rows = list(rows_of(results))
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _draw(
    model: ForecastPredictor, data: ForecastDataModule, results: Sequence[Result], folder: Path
) -> None:
    from rnn_lab.tasks.forecasting.plots import errors_by_step, outlooks

    test = data.split("test")
    rows = np.unique(np.linspace(0, len(test) - 1, 6).astype(np.int64))
    batch, forecast = model.forecast(test, rows)
    outlooks(to_panels(test, rows, batch, forecast)).savefig(folder / "forecasts.png")
    mse = {
        result.name: result.errors.by_step()["mse"].numpy()
        for result in results
        if not result.name.endswith("rolling intervals")
    }
    errors_by_step(mse).savefig(folder / "errors_by_step.png")


def _table(results: Sequence[Result]) -> Table:
    table = Table(title="over all windows, steps and channels")
    table.add_column("model")
    for heading in SHOWN.values():
        table.add_column(heading, justify="right")
    for name, errors in results:
        values = errors.compute()
        table.add_row(name, *(_cell(key, float(values[key])) for key in SHOWN))
    return table


def _cell(key: str, value: float) -> str:
    if key.startswith("coverage"):
        return f"{value:.1%}"
    return f"{value:.3f}"
