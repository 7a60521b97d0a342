"""How often a comparison finds a difference that does not exist, and misses one that does.

python tests/benchmarks/calibration.py --pairs 2000

Pairs of systems are simulated whose difference is known. Each system is trained with some seeds.
Either the rows of the test are independent and a run is right or wrong on each of them, or they are
windows of a time series, whose errors are means over overlapping steps.
"""

import argparse
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from rnn_lab.comparison.scores import mean
from rnn_lab.comparison.statistics import (
    covariances_over_units,
    difference,
    independent_units,
)

ROWS, ORIGINS, HORIZON = 300, 1000, 24
AT_A_TIME = 20  # pairs whose runs are resampled together
SEED_EFFECTS = (0.0, 0.1, 0.3)  # standard deviations of what a seed changes on all rows


class Rates(NamedTuple):
    """Shares of simulated pairs.

    Attributes:
        rejected: Of equal pairs, those that are said to differ at 5 %.
        covered: Of pairs with a gap, those whose 95 % interval contains it.
    """

    rejected: float
    covered: float


def simulate(kind: str, seeds: int, effect: float, pairs: int) -> Rates:
    """Simulate pairs of systems and compare them.

    Args:
        kind: `rows` or `windows`.
        seeds: Trainings of each system.
        effect: Standard deviation of what a seed changes on all rows.
        pairs: Number of pairs of each sort.
    """
    draw, overlap = {"rows": (_classifiers, 1), "windows": (_forecasters, HORIZON)}[kind]
    rng = np.random.default_rng([seeds, round(100 * effect), len(kind)])
    shares = []
    for gap in (0.0, 0.15):
        inside = 0
        for start in range(0, pairs, AT_A_TIME):
            drawn = [draw(rng, seeds, effect, gap) for _ in range(min(AT_A_TIME, pairs - start))]
            estimates = covariances_over_units(
                [run for runs, _ in drawn for run in runs], mean, overlap
            )
            for number, (runs, truth) in enumerate(drawn):
                scores = [float(mean(run.sum(0))) for run in runs]
                own = slice(2 * seeds * number, 2 * seeds * (number + 1))
                found = difference(
                    [scores[:seeds], scores[seeds:]],
                    [estimate[own, own] for estimate in estimates],
                    independent_units(len(runs[0]), overlap),
                )
                inside += found.low <= truth <= found.high
        shares.append(inside / pairs)
    return Rates(1 - shares[0], shares[1])


def _classifiers(
    rng: np.random.Generator, seeds: int, effect: float, gap: float
) -> tuple[list[np.ndarray], float]:
    """Draw whether rows are right, by a difficulty of each row that all systems share."""
    shared = rng.normal(1, 1.5, ROWS)
    runs = []
    for shift in (gap, 0.0):
        own = shared + rng.normal(0, 0.5, ROWS) + shift
        noise = rng.normal(0, effect, (seeds, 1)) + rng.normal(0, 1, (seeds, ROWS))
        runs += [np.stack([row, np.ones(ROWS)], 1) for row in (own + noise > 0).astype(float)]
    spread = np.sqrt(1.5**2 + 0.5**2 + effect**2 + 1)
    return runs, float(ndtr((1 + gap) / spread) - ndtr(1 / spread))


def _forecasters(
    rng: np.random.Generator, seeds: int, effect: float, gap: float
) -> tuple[list[np.ndarray], float]:
    """Draw errors of windows: means over steps, which consecutive windows share."""
    steps = ORIGINS + HORIZON - 1
    shared = rng.normal(0, 1, steps)
    runs = []
    for shift in (gap, 0.0):
        own = shared + rng.normal(0, 0.5, steps) + shift
        noise = rng.normal(0, effect / 5, (seeds, 1)) + rng.normal(0, 0.5, (seeds, steps))
        sums = np.cumsum(np.pad(own + noise, ((0, 0), (1, 0))), 1)
        errors = (sums[:, HORIZON:] - sums[:, :-HORIZON]) / HORIZON
        runs += [np.stack([row, np.ones(ORIGINS)], 1) for row in errors]
    return runs, gap


def main() -> None:
    """Print a row for each number of seeds and each effect of a seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=2000, help="simulated pairs of each sort")
    pairs = parser.parse_args().pairs
    print(f"{'':9} seeds  effect  rejected  covered")
    for kind in ("rows", "windows"):
        for seeds in (3, 5, 10):
            for effect in SEED_EFFECTS:
                rates = simulate(kind, seeds, effect, pairs)
                print(
                    f"{kind:9} {seeds:5} {effect:7} {rates.rejected:9.1%} {rates.covered:8.1%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
