"""Synthetic time series: trend, two seasons, autocorrelated noise and regime changes."""

import numpy as np
from numpy.typing import NDArray

from rnn_lab.core.generated import check_generated_size
from rnn_lab.errors import UserError

START = "2020-01-06"  # a Monday
DAY, WEEK = 24, 168  # steps
REGIME = 500  # mean number of steps per regime
BYTES_PER_STEP, BYTES_PER_VALUE = 64, 128  # of memory while the series are generated


def series(length: int, channels: int, seed: int) -> NDArray[np.float32]:
    """Generate hourly series.

    Each channel has a slow trend, a daily season of its own shape, a weaker weekly season, and
    noise that decays over some hours. All channels change their regime at the same time, every 500
    hours on average: the level and the amplitude of the daily season are drawn again. Series of
    different lengths have no values in common.

    Args:
        length: Number of steps.
        channels: Number of channels.
        seed: Random seed.

    Returns:
        Values, `(length, channels)`.

    Raises:
        UserError: If length or channels are less than 1, or too large.
    """
    if channels < 1:
        raise UserError(f"channels must be at least 1, got {channels}")
    check_generated_size("length", length, BYTES_PER_STEP + BYTES_PER_VALUE * channels)
    rng = np.random.default_rng(seed)
    time = np.arange(length)
    regime = _regimes(rng, length)
    count = regime[-1] + 1
    level = rng.normal(0, 0.5, (count, channels))[regime]
    amplitude = rng.uniform(0.6, 1.4, (count, channels))[regime]
    trend = np.outer(time / max(length, 1), rng.normal(0, 1, channels))
    day = amplitude * _season(rng, time, DAY, 3, channels)
    week = 0.5 * _season(rng, time, WEEK, 2, channels)
    values = 10 + trend + level + day + week + 0.3 * _noise(rng, length, channels)
    return (values * rng.uniform(1, 5, channels)).astype(np.float32)


def _regimes(rng: np.random.Generator, length: int) -> NDArray[np.int64]:
    """Number the regime of each step."""
    return np.cumsum(rng.random(length) < 1 / REGIME)


def _season(
    rng: np.random.Generator, time: NDArray[np.int64], period: int, harmonics: int, channels: int
) -> NDArray[np.float64]:
    """Add up harmonics of a period with decreasing amplitude, `(time, channels)`."""
    numbers = np.arange(1, harmonics + 1)
    phases = rng.uniform(0, 2 * np.pi, (harmonics, channels))
    angles = 2 * np.pi / period * time[:, None, None] * numbers[:, None] + phases
    return (np.sin(angles) / numbers[:, None]).sum(1)


def _noise(rng: np.random.Generator, length: int, channels: int) -> NDArray[np.float64]:
    """Generate autocorrelated noise of about unit variance, `(length, channels)`."""
    weights = 0.8 ** np.arange(24)
    white = rng.standard_normal((length + len(weights) - 1, channels))
    columns = [np.convolve(white[:, channel], weights, "valid") for channel in range(channels)]
    return np.stack(columns, 1) * np.sqrt(1 - 0.8**2)
