"""Panels with covariates of every kind."""

import numpy as np
import pandas as pd

from rnn_lab.io.tables import as_chunks
from rnn_lab.tasks.forecasting.panel.builder import read_panel
from rnn_lab.tasks.forecasting.panel.panel import Panel, PanelConfig


def some_panel(*lengths: int, seed: int = 0) -> Panel:
    """Series of two targets with covariates of each kind and some missing values."""
    rng = np.random.default_rng(seed)
    parts = [
        pd.DataFrame(
            {
                "id": f"s{n}",
                "a": rng.normal(5 * n, 1 + n, length),
                "b": rng.normal(-3, 2, length),
                "known": rng.normal(7, 3, length),
                "event": rng.choice(["no", "yes"], length),
                "observed": rng.normal(1, 9, length),
                "size": float(n),
            }
        )
        for n, length in enumerate(lengths)
    ]
    frame = pd.concat(parts, ignore_index=True)
    frame.loc[rng.random(len(frame)) < 0.1, ["a", "observed"]] = np.nan
    config = PanelConfig(
        None,
        "id",
        targets=["a", "b"],
        future_covariates=["known", "event"],
        past_covariates=["observed"],
        static_covariates=["size", "id"],
    )
    return read_panel(lambda: as_chunks(frame), config)
