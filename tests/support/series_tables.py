"""Random tables of series for tests of data modules."""

from typing import Any

import numpy as np
import pandas as pd
import torch

from rnn_lab.tasks.forecasting.batch import WindowBatch

SPLITS = ("train", "valid", "test")


SMALL: dict[str, Any] = {"input_length": 6, "horizon": 4}


def wide(rows: int = 100, freq: str = "h") -> pd.DataFrame:
    rng = np.random.default_rng(0)
    dates = pd.date_range("2024-01-01", periods=rows, freq=freq).astype(str)
    return pd.DataFrame({"date": dates, "a": rng.normal(5, 2, rows), "b": rng.normal(0, 9, rows)})


def long(**lengths: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame(
            {
                "unique_id": name,
                "ds": pd.date_range("2024-01-01", periods=rows).astype(str),
                "y": rng.normal(10 * n, 1 + n, rows),
            }
        )
        for n, (name, rows) in enumerate(lengths.items())
    ]
    return pd.concat(parts, ignore_index=True)


def assert_same(one: WindowBatch, other: WindowBatch, *parts: str) -> None:
    for part in parts:
        torch.testing.assert_close(
            getattr(one, part), getattr(other, part), rtol=0, atol=0, equal_nan=True
        )
