"""Synthetic series."""

import numpy as np

from rnn_lab.datamodules import (
    SyntheticSeries,
)


def test_series_are_seasonal_and_depend_only_on_the_seed() -> None:
    def randn(seed: int) -> np.ndarray:
        return SyntheticSeries(1000, data_seed=seed).panel.values

    np.testing.assert_array_equal(randn(0), randn(0))
    assert not np.array_equal(randn(0), randn(1))
    data = SyntheticSeries()
    assert (data.season_length, data.panel.freq, data.input_dim) == (24, "h", 3)
    batch = data.split("test")[np.arange(500)]
    last, day = batch.past[:, -1:] - batch.future, batch.past[:, -24:] - batch.future
    assert day.square().mean() < last.square().mean()
