"""Generator of waves (chirps) labeled by how their frequency changes.

The waves are a pure function of `(seed, split)`; a smaller sample is a prefix of a larger one.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rnn_lab.core.generated import SPLITS, check_generation_args
from rnn_lab.errors import UserError

CHIRP_LABELS = ("rising", "falling", "rise then fall", "fall then rise")
MIN_STEPS, MAX_STEPS = 12, 40


def chirps(
    count: int, seed: int, split: str, input_dim: int = 2, noise: float = 0.1
) -> Iterator[tuple[NDArray[np.float32], str]]:
    """Generate noisy waves of 12 to 40 steps, labeled by how their frequency changes.

    The frequency changes linearly between a low and a high value, so that every label spends the
    same time at every frequency and only the order of the steps is informative. Phase, amplitude,
    both frequencies and the turning point are random. The channels are one wave at phases spread
    over half a period: sine and cosine for two channels.

    Args:
        count: Number of waves, the same of each label.
        seed: Seed of the generator.
        split: One of `SPLITS`.
        input_dim: Channels per step.
        noise: Standard deviation of the added Gaussian noise; amplitudes are 0.5 to 1.5.

    Returns:
        Pairs of values, `(time, input_dim)` float32, and label, one of `CHIRP_LABELS`.

    Raises:
        UserError: If the split is unknown, the count or noise negative, or there is no channel.
    """
    check_generation_args(count, split)
    if input_dim < 1:
        raise UserError(f"input_dim must be at least 1, got {input_dim}")
    if not noise >= 0:
        raise UserError(f"noise must be at least 0, got {noise}")
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    return _generate_chirps(count, rng, input_dim, noise)


def bytes_per_chirp(input_dim: int) -> int:
    """Return the approximate memory of a wave."""
    return 200 + 4 * MAX_STEPS * input_dim  # 200: the array and its label as objects


def _generate_chirps(
    count: int, rng: np.random.Generator, input_dim: int, noise: float
) -> Iterator[tuple[NDArray[np.float32], str]]:
    for index in range(count):
        if index % len(CHIRP_LABELS) == 0:
            order = rng.permutation(len(CHIRP_LABELS))
        label = CHIRP_LABELS[order[index % len(CHIRP_LABELS)]]
        yield _chirp(rng, label, input_dim, noise), label


def _chirp(
    rng: np.random.Generator, label: str, input_dim: int, noise: float
) -> NDArray[np.float32]:
    time = int(rng.integers(MIN_STEPS, MAX_STEPS + 1))
    phase = rng.uniform(0, 2 * np.pi) + np.cumsum(_frequency(rng, label, time))
    shifts = np.pi * np.arange(input_dim) / input_dim
    wave = rng.uniform(0.5, 1.5) * np.sin(phase[:, None] + shifts)
    return (wave + noise * rng.standard_normal(wave.shape)).astype(np.float32)


def _frequency(rng: np.random.Generator, label: str, time: int) -> NDArray[np.float64]:
    """Return the frequency of every step in radians, `(time,)`."""
    low, high = rng.uniform(0.1, 0.5), rng.uniform(1.0, 1.6)
    turn = rng.uniform(0.4, 0.6)
    corners: dict[str, tuple[list[float], list[float]]] = {
        "rising": ([0, 1], [low, high]),
        "falling": ([0, 1], [high, low]),
        "rise then fall": ([0, turn, 1], [low, high, low]),
        "fall then rise": ([0, turn, 1], [high, low, high]),
    }
    return np.interp(np.linspace(0, 1, time), *corners[label])
