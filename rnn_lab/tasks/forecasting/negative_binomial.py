"""Quantiles of the negative binomial distribution on any device, in plain torch."""

import torch
from torch import Tensor

TINY = 1e-300  # replaces zero in the continued fraction
TOLERANCE = 1e-14  # relative change of the continued fraction at which it has converged
MAX_TERMS, CHECK_EVERY = 4000, 8  # of the continued fraction
MAX_STEPS = 80  # bisections


def negative_binomial_quantile(level: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """Compute the smallest count whose cumulative probability reaches a level.

    The count is found by bisection between the bounds of Cantelli's inequality. It equals that of
    scipy's `nbinom.ppf` for counts below 100,000; larger ones differ by less than 1e-4, relatively.

    Args:
        level: Probabilities between 0 and 1, float64.
        mean: Means, float64.
        dispersion: Dispersions: the variance is `mean + dispersion * mean**2`, float64.

    Returns:
        Whole numbers, float64, of the broadcast shape; NaN where a parameter is not finite.
    """
    level, mean, dispersion = torch.broadcast_tensors(level, mean, dispersion)
    std = (mean + dispersion * mean.square()).sqrt()
    odds = level / (1 - level)
    valid = (std * odds).isfinite() & (dispersion > 0)
    low = torch.where(valid, mean - std / odds.sqrt(), 0).floor().clamp(min=0) - 1
    high = torch.where(valid, mean + std * odds.sqrt(), 0).ceil()
    successes, probability = 1 / dispersion, 1 / (1 + dispersion * mean)
    gap = float((high - low).max()) if valid.numel() else 0.0
    for _ in range(min(max(int(gap), 1).bit_length(), MAX_STEPS)):
        middle = ((low + high) / 2).floor()  # low < quantile <= high
        reached = (middle >= 0) & (
            incomplete_beta(successes, middle.clamp(min=0) + 1, probability) >= level
        )
        open_ = high - low > 1
        high = torch.where(open_ & reached, middle, high)
        low = torch.where(open_ & ~reached, middle, low)
    return torch.where(valid, high, torch.nan)


def incomplete_beta(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """Compute the regularized incomplete beta function.

    Source: https://dlmf.nist.gov/8.17, the continued fraction 8.17.22 and the symmetry 8.17.4.

    Args:
        a: First parameter, above zero, float64.
        b: Second parameter, above zero, float64.
        x: Values between 0 and 1, float64.
    """
    swap = x > (a + 1) / (a + b + 2)  # the fraction converges fast below
    a, b = torch.where(swap, b, a), torch.where(swap, a, b)
    x, y = torch.where(swap, 1 - x, x), torch.where(swap, x, 1 - x)
    log_beta = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
    front = (torch.xlogy(a, x) + torch.xlogy(b, y) - log_beta).exp() / a
    value = front / _continued_fraction(a, b, x)
    return torch.where(swap, 1 - value, value)


def _continued_fraction(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """Evaluate the fraction by the modified method of Lentz."""
    fraction = torch.ones_like(x)
    c, d = torch.ones_like(x), torch.zeros_like(x)
    for term in range(1, MAX_TERMS):
        m = term // 2
        if term % 2:
            numerator = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            numerator = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _not_zero(1 + numerator * d)
        c = _not_zero(1 + numerator / c)
        change = c * d
        fraction = fraction * change
        if term % CHECK_EVERY == 0 and bool(((change - 1).abs() < TOLERANCE).all()):
            break
    return fraction


def _not_zero(x: Tensor) -> Tensor:
    return torch.where(x.abs() < TINY, TINY, x)
