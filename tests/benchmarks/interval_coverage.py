"""Measure the coverage of intervals on generated series.

    python tests/benchmarks/interval_coverage.py

Prints a table. Each row generates series, calibrates on validation (or trains a distribution) and
counts how many test values are inside the intervals. A column is empty where validation is too
short to calibrate the interval.
"""

import math
import tempfile

import numpy as np
import pandas as pd
from lightning import Trainer, seed_everything

from rnn_lab.datamodules import ForecastingFiles
from rnn_lab.models import Forecaster, LastValueForecaster
from rnn_lab.tasks.forecasting.backtest import backtest
from rnn_lab.tasks.forecasting.options import EncoderOptions
from rnn_lab.tasks.forecasting.predictor import ForecastPredictor

PAST, HORIZON = 8, 3


def heavy_tails(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Draw independent values of a t distribution with 2.5 degrees of freedom."""
    return rng.standard_t(2.5, rows)


def counts(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Draw independent negative binomial counts with mean 40 and dispersion 0.1."""
    return rng.negative_binomial(10, 0.2, rows).astype(float)


# Name: generator, rows of training, validation and test, number of series, trained model.
CASES = {
    "heavy tails, 1000 in validation": (heavy_tails, [200, 1000, 2000], 1, False),
    "counts, 1000 in validation": (counts, [200, 1000, 2000], 1, False),
    "counts, negative binomial output": (counts, [2000, 100, 2000], 1, True),
    "39 in validation": (heavy_tails, [60, 41, 100], 60, False),
    "10 in validation": (heavy_tails, [60, 12, 100], 60, False),
    "3 in validation": (heavy_tails, [60, 5, 100], 60, False),
}


def coverage(name: str) -> dict[float, float]:
    """Measure a case: the mean coverage by nominal coverage, NaN where there are no intervals."""
    generate, split, repeats, trained = CASES[name]
    results = []
    for seed in range(repeats):
        values = generate(np.random.default_rng(seed), sum(split))
        results.append(_coverage_of(values, split, trained))
    return {nominal: float(np.mean([each[nominal] for each in results])) for nominal in results[0]}


def _coverage_of(values: np.ndarray, split: list[int], trained: bool) -> dict[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        dates = pd.date_range("2020-01-01", periods=len(values), freq="h")
        pd.DataFrame({"ds": dates, "y": values}).to_csv(f"{folder}/it.csv", index=False)
        scaling = "none" if trained else "standard"
        data = ForecastingFiles(f"{folder}/it.csv", PAST, HORIZON, split=split, scaling=scaling)
        model = ForecastPredictor(_task(data, trained).eval(), data.reader)
        errors = next(iter(backtest({"model": model}, data, 24))).errors.compute()
    return {0.8: float(errors["coverage_80"]), 0.95: float(errors["coverage_95"])}


def _task(data: ForecastingFiles, trained: bool) -> LastValueForecaster | Forecaster:
    if not trained:
        return LastValueForecaster(data.output_dim, horizon=HORIZON)
    seed_everything(0, verbose=False)
    encoder = EncoderOptions(normalization="mean")
    task = Forecaster(
        1, 16, output_dim=data.output_dim, horizon=HORIZON, output="negative_binomial",
        encoder=encoder,
    )  # fmt: skip
    trainer = Trainer(
        accelerator="cpu", max_epochs=12, limit_val_batches=0, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(task, data)
    return task


def main() -> None:
    """Print the table."""
    print("| Series | 80% interval | 95% interval |\n| --- | ---: | ---: |")
    for name in CASES:
        cells = ["" if math.isnan(value) else f"{value:.1%}" for value in coverage(name).values()]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
