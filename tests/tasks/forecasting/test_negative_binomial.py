"""Quantiles of counts in torch against scipy."""

import numpy as np
import pytest
import torch
from scipy import special, stats

from rnn_lab.tasks.forecasting.negative_binomial import incomplete_beta, negative_binomial_quantile

LEVELS = torch.tensor([1e-4, 0.005, 0.1, 0.5, 0.9, 0.975, 0.995, 0.9999], dtype=torch.float64)


def powers(low, high, size=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    exponent = torch.rand(size, 1, generator=generator, dtype=torch.float64)
    return 10 ** (low + (high - low) * exponent)


@pytest.mark.parametrize(
    ("low", "high", "tolerance"), [(-4, 0, 0), (0, 3, 0), (3, 6, 1e-4)], ids=["few", "some", "many"]
)
def test_quantiles_are_the_whole_numbers_of_scipy(low, high, tolerance):
    mean, dispersion = powers(low, high), powers(-4, 2, seed=1)
    result = negative_binomial_quantile(LEVELS, mean, dispersion)
    expected = stats.nbinom.ppf(LEVELS, 1 / dispersion, 1 / (1 + dispersion * mean))
    assert torch.equal(result, result.round())
    np.testing.assert_allclose(result, expected, rtol=tolerance, atol=0)


def test_a_parameter_that_is_not_finite_gives_nan():
    mean = torch.tensor([torch.nan, torch.inf, 3.0], dtype=torch.float64)
    one = torch.ones(3, dtype=torch.float64)
    result = negative_binomial_quantile(one / 2, mean, one)
    assert result.isnan().tolist() == [True, True, False]
    assert negative_binomial_quantile(one[:0], mean[:0], one[:0]).shape == (0,)


def test_the_incomplete_beta_function_equals_that_of_scipy():
    a, b = powers(-2, 4), powers(0, 4, seed=1)
    x = torch.linspace(0.001, 0.999, 9, dtype=torch.float64)
    expected = special.betainc(*(part.numpy() for part in (a, b, x)))
    np.testing.assert_allclose(incomplete_beta(a, b, x), expected, rtol=1e-8, atol=1e-12)
