"""Intervals and p-values are right: by simulation, and by other implementations."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest
from scipy import stats

from rnn_lab.comparison.scores import counts_of, mean
from rnn_lab.comparison.statistics import (
    bootstrap_covariance,
    covariances_over_units,
    diebold_mariano,
    difference,
    holm,
    resample,
)

WORDS = ("a", "man", "is", "riding", "his", "bicycle", "on", "the", "street", "near", "dogs")
PAIRS = 400  # `tests/benchmarks/calibration.py` simulates 2,000


def calibration():
    """Import the script that simulates pairs."""
    path = Path(__file__).parent.parent / "benchmarks" / "calibration.py"
    spec = importlib.util.spec_from_file_location("calibration", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("effect", [0.0, 0.3])
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("kind", ["rows", "windows"])
def test_simulated_systems_differ_as_often_as_stated(kind, seeds, effect):
    rates = calibration().simulate(kind, seeds, effect, PAIRS)
    # Four standard errors of a share of 5 % in 400 pairs.
    assert 0.01 <= rates.rejected <= 0.095
    assert 0.905 <= rates.covered <= 0.99


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def right_or_wrong(rng, rows, *shares):
    return [np.stack([rng.random(rows) < s, np.ones(rows)], 1).astype(float) for s in shares]


def test_the_covariance_is_that_of_means(rng):
    runs = right_or_wrong(rng, 400, 0.5, 0.8)
    expected = np.cov([run[:, 0] for run in runs]) / 400
    found = bootstrap_covariance(runs, mean, replicates=4000)
    assert np.allclose(found, expected, atol=0.1 * expected.max())


def test_the_bootstrap_agrees_with_scipy(rng):
    one, other = right_or_wrong(rng, 500, 0.6, 0.7)
    covariance = bootstrap_covariance([one, other], mean)
    found = difference([[one[:, 0].mean()], [other[:, 0].mean()]], [covariance], 500)
    pairs = (one[:, 0] - other[:, 0],)
    reference = stats.bootstrap(pairs, np.mean, method="basic", rng=np.random.default_rng(1))
    low, high = reference.confidence_interval
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.006)
    assert found.p_value == pytest.approx(stats.ttest_1samp(pairs[0], 0).pvalue, rel=0.2)


def test_the_bootstrap_of_translations_agrees_with_sacrebleu(rng):
    target = [" ".join(rng.choice(WORDS, 10)) for _ in range(300)]

    def corrupted(share):
        texts = [np.array(text.split()) for text in target]
        return [" ".join(np.where(rng.random(10) < share, rng.choice(WORDS, 10), t)) for t in texts]

    systems = [corrupted(0.30), corrupted(0.355)]
    bleu = BLEU()
    bleu.corpus_score(target, [target])
    runs = []
    for texts in systems:
        pairs = zip(texts, target, strict=True)
        lines = [np.array(bleu._extract_corpus_statistics([a], [[b]])[0]) for a, b in pairs]
        runs.append(counts_of("test/bleu", {"bleu_counts": np.array(lines)}))
    scores = [[float(run.score(run.rows.sum(0)))] for run in runs]
    covariance = bootstrap_covariance([run.rows for run in runs], runs[0].score, replicates=1000)
    found = difference(scores, [covariance], 300)
    named = [("one", systems[0]), ("other", systems[1])]
    test = PairedTest(named, {"BLEU": BLEU()}, [target], test_type="bs", n_samples=1000)
    one, other = test()[1]["BLEU"]
    assert one.score - other.score == pytest.approx(found.value)
    # sacrebleu gives half the width of the interval of each system, and a one-sided p-value.
    half = stats.norm.ppf(0.975) * np.sqrt(np.diag(covariance))
    assert half == pytest.approx([one.ci, other.ci], rel=0.15)
    assert 0.005 < other.p_value < 0.2
    assert found.p_value / 2 == pytest.approx(other.p_value, abs=0.02)


def test_the_variance_of_overlapping_windows_is_that_of_their_steps(rng):
    horizon, count = 12, 600
    steps = rng.normal(size=(2, count + horizon - 1))
    kernel = np.ones(horizon) / horizon
    means = [np.convolve(each, kernel, "valid") for each in steps]
    runs = [np.stack([each, np.ones(count)], 1) for each in means]
    flat, long = covariances_over_units(runs, mean, horizon)
    naive = bootstrap_covariance(runs, mean)
    assert np.diag(flat) == pytest.approx(1 / count, rel=0.6)
    assert (np.diag(flat) > np.diag(long)).any()
    assert (np.diag(naive) < np.diag(long) / 4).all()
    assert covariances_over_units(runs, mean)[0] == pytest.approx(naive)


def test_runs_without_rows_are_compared_by_their_seeds():
    scores = [[0.71, 0.74, 0.70], [0.66, 0.69, 0.70]]
    found = difference(scores, [], 0)
    reference = stats.ttest_ind(*scores, equal_var=False)
    assert found.p_value == pytest.approx(reference.pvalue)
    low, high = reference.confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.of_rows == 0


def test_both_sources_of_variation_count(rng):
    runs = right_or_wrong(rng, 300, 0.6, 0.65, 0.7, 0.75)
    scores = [[run[:, 0].mean() for run in runs[:2]], [run[:, 0].mean() for run in runs[2:]]]
    covariance = np.full((4, 4), 1e-4) + 1e-4 * np.eye(4)
    covariance[:2, 2:] = covariance[2:, :2] = 5e-5
    found = difference(scores, [covariance], 300)
    assert found.of_rows == pytest.approx(np.sqrt(1e-4 + 1e-4 - 2 * 5e-5))
    assert found.of_seeds == pytest.approx(np.sqrt(sum(np.var(s, ddof=1) / 2 for s in scores)))
    assert found.low < found.value < found.high


def test_equal_scores_without_variance_do_not_differ():
    assert difference([[0.5], [0.5]], [np.zeros((2, 2))], 100).p_value == 1
    assert difference([[0.5], [0.6]], [np.zeros((2, 2))], 100).p_value == 0


@pytest.mark.parametrize(("units", "block"), [(50, 1), (50, 7), (50, 50), (5, 9)])
def test_a_resample_has_as_many_units(units, block, rng):
    drawn = np.stack([resample(units, rng, block) for _ in range(200)])
    assert (drawn.sum(1) == units).all()
    assert drawn.min() >= 0


def test_blocks_are_consecutive(rng):
    for _ in range(50):
        (places,) = np.nonzero(resample(30, rng, 15))
        parts = np.split(places, np.nonzero(np.diff(places) > 1)[0] + 1)
        assert all(len(part) >= 15 for part in parts)


def test_holm_multiplies_by_the_number_of_remaining_comparisons():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_diebold_mariano_without_overlap_is_a_t_test(rng):
    losses = rng.normal(size=(2, 80))
    expected = stats.ttest_1samp(losses[0] - losses[1], 0).pvalue
    assert diebold_mariano(*losses) == pytest.approx(expected, rel=1e-6)


def test_diebold_mariano_rejects_few_pairs_of_overlapping_windows(rng):
    horizon, count = 12, 300
    steps = rng.normal(size=(500, 2, count + horizon - 1))
    kernel = np.ones(horizon) / horizon
    p_values = [
        diebold_mariano(*(np.convolve(each, kernel, "valid") for each in pair), horizon)
        for pair in steps
    ]
    assert 0.01 < np.mean(np.array(p_values) < 0.05) < 0.09  # 0.05 and four standard errors
    naive = [stats.ttest_1samp(np.convolve(a - b, kernel, "valid"), 0).pvalue for a, b in steps]
    assert np.mean(np.array(naive) < 0.05) > 0.3


def test_forecasts_that_do_not_differ_have_no_small_p_value():
    losses = np.ones(20)
    assert diebold_mariano(losses, losses) == 1
    assert diebold_mariano(losses, losses + 1) == 0
