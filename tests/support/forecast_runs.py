"""Small training runs of forecasters for tests of commands and predictors."""

import csv

import numpy as np
import pandas as pd

from rnn_lab.__main__ import main
from rnn_lab.datamodules import SyntheticSeries

PAST, HORIZON, ROWS = 12, 4, 400


SIZES = [f"--data.input_length={PAST}", f"--data.horizon={HORIZON}"]


SYNTHETIC = ["--data=SyntheticSeries", f"--data.length={ROWS}", "--data.channels=2", *SIZES]


SMALL = ["--model=LSTMForecaster", "--model.hidden_dim=8", "--trainer.accelerator=cpu"]


PROBABILISTIC = ["--model=DeepARForecaster", "--model.hidden_dim=4", *SMALL[2:]]


def train_model(folder, *options):
    """Train a model for three batches and return its checkpoint."""
    line = ["fit", "--trainer.max_epochs=1", "--trainer.limit_train_batches=3", *options]
    assert main([*line, f"--trainer.default_root_dir={folder}/run"]) == 0
    return str(folder / "run/checkpoints/best.ckpt")


def synthetic():
    return SyntheticSeries(ROWS, 2, input_length=PAST, horizon=HORIZON)


def frame(rows=ROWS):
    """The synthetic series as a table."""
    panel = synthetic().panel
    values = {name: panel.values[:rows, i] for i, name in enumerate(panel.targets)}
    return pd.DataFrame({"date": panel.times(0, 0, rows), **values})


def sales(rows):
    rng = np.random.default_rng(0)
    parts = []
    for number, name in enumerate(("north", "south")):
        dates = pd.date_range("2024-01-01", periods=rows)
        promotion = rng.integers(0, 2, rows)
        sold = 100 * (1 + number) + 20 * promotion + rng.normal(0, 1, rows)
        columns = {"ds": dates, "y": sold, "promotion": promotion, "size": 3.0 + number}
        parts.append(pd.DataFrame({"unique_id": name, **columns}))
    return pd.concat(parts, ignore_index=True)


def without_last_sales(table, last):
    """Remove the sales of the last days, which are to be forecast."""
    table = table.copy()
    from_end = table.groupby("unique_id").cumcount(ascending=False)
    table.loc[from_end < last, "y"] = np.nan
    return table


def error_line(capsys, *options):
    try:
        status = main([str(option) for option in options])
    except SystemExit as stop:
        status = stop.code
    (line,) = capsys.readouterr().err.splitlines()
    assert status in (1, 2)
    return line


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
