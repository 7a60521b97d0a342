"""Small tables of series, and panels read from them."""

from typing import Any

import numpy as np
import pandas as pd

from rnn_lab.io.tables import as_chunks
from rnn_lab.tasks.forecasting.panel.builder import read_panel
from rnn_lab.tasks.forecasting.panel.panel import Panel, PanelConfig

WIDE: dict[str, Any] = {"time_column": "date"}


LONG: dict[str, Any] = {"time_column": "ds", "id_column": "unique_id", "targets": ["y"]}


def panel_of(frame: pd.DataFrame, **config: Any) -> Panel:
    return read_panel(lambda: as_chunks(frame, "it"), PanelConfig(**config))


def wide(rows: int = 8, freq: str = "h", begin: str = "2024-01-01") -> pd.DataFrame:
    dates = pd.date_range(begin, periods=rows, freq=freq).astype(str)
    return pd.DataFrame({"date": dates, "a": np.arange(rows) + 0.5, "b": np.arange(rows)[::-1]})


def long(**lengths: int) -> pd.DataFrame:
    """Daily series that start one day after each other."""
    parts = [
        pd.DataFrame(
            {
                "unique_id": name,
                "ds": pd.date_range(f"2024-01-{n}", periods=length).astype(str),
                "y": np.arange(length) + 100 * n,
            }
        )
        for n, (name, length) in enumerate(lengths.items(), 1)
    ]
    return pd.concat(parts, ignore_index=True)
