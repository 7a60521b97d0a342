"""Generated series to forecast: a trend, two seasons, noise, and changes of regime."""

import numpy as np
from numpy.typing import NDArray

from rnn_lab.errors import UserError

BEGIN = "2020-01-06"  # a Monday
DAY, WEEK = 24, 168  # steps
REGIME = 500  # steps that a regime lasts in the mean


def series(length: int, channels: int, seed: int) -> NDArray[np.float32]:
    """Draw series side by side, hour by hour.

    Each channel has a slow trend, a day of its own shape, a weaker week, and noise that fades
    over some hours. All change their regime together, every 500 hours in the mean: level and
    strength of the day are drawn anew. A longer draw is another one.

    Args:
        length: Steps to draw.
        channels: Series to draw.
        seed: Another seed draws other series of the same kind.

    Returns:
        Values, `(length, channels)`.

    Raises:
        UserError: If length or channels are less than 1.
    """
    for name, value in (("length", length), ("channels", channels)):
        if value < 1:
            raise UserError(f"{name} must be at least 1, got {value}")
    rng = np.random.default_rng(seed)
    time = np.arange(length)
    regime = _regimes(rng, length)
    count = regime[-1] + 1
    level = rng.normal(0, 0.5, (count, channels))[regime]
    strength = rng.uniform(0.6, 1.4, (count, channels))[regime]
    trend = np.outer(time / max(length, 1), rng.normal(0, 1, channels))
    day = strength * _season(rng, time, DAY, 3, channels)
    week = 0.5 * _season(rng, time, WEEK, 2, channels)
    values = 10 + trend + level + day + week + 0.3 * _noise(rng, length, channels)
    return (values * rng.uniform(1, 5, channels)).astype(np.float32)


def _regimes(rng: np.random.Generator, length: int) -> NDArray[np.int64]:
    """Number the regime of each step."""
    return np.cumsum(rng.random(length) < 1 / REGIME)


def _season(
    rng: np.random.Generator, time: NDArray[np.int64], period: int, waves: int, channels: int
) -> NDArray[np.float64]:
    """Add up waves of a period and its parts, each weaker, `(time, channels)`."""
    numbers = np.arange(1, waves + 1)
    phases = rng.uniform(0, 2 * np.pi, (waves, channels))
    angles = 2 * np.pi / period * time[:, None, None] * numbers[:, None] + phases
    return (np.sin(angles) / numbers[:, None]).sum(1)


def _noise(rng: np.random.Generator, length: int, channels: int) -> NDArray[np.float64]:
    """Noise of unit deviation or so, that remembers some hours, `(length, channels)`."""
    fading = 0.8 ** np.arange(24)
    white = rng.standard_normal((length + len(fading) - 1, channels))
    columns = [np.convolve(white[:, channel], fading, "valid") for channel in range(channels)]
    return np.stack(columns, 1) * np.sqrt(1 - 0.8**2)
