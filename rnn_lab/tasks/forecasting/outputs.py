"""Output heads of forecasters: point forecasts, quantiles and distributions.

An output interprets the numbers that a network produces for each value, `(..., size)`, in the scale
of a normalized window. `to_params` converts them into parameters in the scale of the data, from
which the loss, the point forecast and the quantiles are computed.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import NegativeBinomial as TorchNegativeBinomial
from torch.distributions import Normal

from rnn_lab.tasks.forecasting.negative_binomial import negative_binomial_quantile
from rnn_lab.tasks.forecasting.normalization import denormalize

DistributionParams = tuple[Tensor, ...]
LEVELS = (0.025, *(round(0.05 * i, 2) for i in range(1, 20)), 0.975)  # evaluated quantile levels
MIN_SCALE = 1e-4  # lower bound of predicted scales, in units of the normalized window


class Output(ABC):
    """Interpret `size` network outputs per value.

    Attributes:
        size: Network outputs per value.
        probabilistic: Whether it predicts a distribution or quantiles, not just a point.
    """

    size = 1
    probabilistic = True

    @abstractmethod
    def to_params(self, raw: Tensor, location: Tensor, scale: Tensor) -> DistributionParams:
        """Convert network outputs to parameters in the scale of the data.

        Args:
            raw: Network outputs, `(..., size)`.
            location: Location of the normalized window, shaped like `raw` without its last axis.
            scale: Scale of the normalized window, of the same shape.

        Returns:
            The parameters, each `(...)`; for quantiles `(..., levels)`.
        """

    @abstractmethod
    def loss(self, params: DistributionParams, target: Tensor) -> Tensor:
        """Compute the loss per value, `(...)`."""

    def point(self, params: DistributionParams) -> Tensor:
        """Return the point forecast of each value, `(...)`."""
        return params[0]

    @abstractmethod
    def quantiles(self, params: DistributionParams, levels: Sequence[float]) -> Tensor | None:
        """Compute quantiles.

        Args:
            params: Parameters, each `(...)`; for quantiles `(..., levels)`.
            levels: Probabilities between 0 and 1.

        Returns:
            `(..., levels)`; None if the output is not probabilistic.
        """


class Distribution(Output):
    """An output that predicts a distribution, whose values can be sampled.

    Attributes:
        counts: Whether it is a distribution of whole numbers that are not negative.
    """

    counts = False

    @abstractmethod
    def icdf(self, params: DistributionParams, levels: Sequence[float], index: Tensor) -> Tensor:
        """Evaluate the inverse CDF at one level per element.

        At a uniformly drawn level the result is a sample.

        Args:
            params: Parameters, each broadcastable with `index`.
            levels: Probabilities between 0 and 1.
            index: Index into `levels` for each element.
        """

    def quantiles(self, params: DistributionParams, levels: Sequence[float]) -> Tensor | None:
        index = torch.arange(len(levels), device=params[0].device)
        return self.icdf(tuple(param.unsqueeze(-1) for param in params), levels, index)

    def sample_quantiles(self, samples: Tensor, levels: Sequence[float]) -> Tensor:
        """Compute the quantiles of samples, interpolated between samples if they are no counts.

        Args:
            samples: `(batch, samples, ...)`.
            levels: Probabilities between 0 and 1.

        Returns:
            `(batch, ..., levels)`.
        """
        ordered, last = samples.sort(1).values, samples.size(1) - 1
        if self.counts:  # the smallest count whose empirical CDF reaches the level
            ranks = [math.ceil(round(level * (last + 1), 6)) - 1 for level in levels]
            return torch.stack([ordered[:, max(rank, 0)] for rank in ranks], -1)
        parts = []
        for level in levels:
            rank = int(level * last)
            weight = level * last - rank
            parts.append(torch.lerp(ordered[:, rank], ordered[:, min(rank + 1, last)], weight))
        return torch.stack(parts, -1)


@lru_cache(maxsize=32)
def _on_device(
    table: Callable[[tuple[float, ...]], Tensor],
    levels: tuple[float, ...],
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """Compute a table of levels once and keep it on the device: decoding reads it at every step."""
    with torch.inference_mode(False):  # so that the table can be used anywhere
        return table(levels).to(device, dtype)


class Point(Output):
    """Point forecast: one number per value.

    Args:
        loss: `mse`, `mae` or `huber` (quadratic up to an error of one, in the scale of the data).
    """

    probabilistic = False
    LOSSES: ClassVar[dict[str, Callable[..., Tensor]]] = {
        "mse": F.mse_loss,
        "mae": F.l1_loss,
        "huber": F.huber_loss,
    }

    def __init__(self, loss: str = "mse") -> None:
        if loss not in self.LOSSES:
            raise ValueError(f"loss must be one of {', '.join(self.LOSSES)}, got {loss!r}")
        self._loss = self.LOSSES[loss]

    def to_params(self, raw: Tensor, location: Tensor, scale: Tensor) -> DistributionParams:
        return (denormalize(raw.squeeze(-1), location, scale),)

    def loss(self, params: DistributionParams, target: Tensor) -> Tensor:
        return self._loss(params[0], target, reduction="none")

    def quantiles(self, params: DistributionParams, levels: Sequence[float]) -> Tensor | None:
        return None


class Quantiles(Output):
    """Quantile regression with the pinball loss.

    Crossing quantiles are sorted (Chernozhukov et al., 2010). Quantiles between two levels are
    interpolated linearly; beyond the outermost levels they are undefined (NaN).

    Source: Koenker & Bassett (1978), https://doi.org/10.2307/1913643.

    Args:
        levels: Increasing probabilities that include 0.5, the point forecast.
    """

    def __init__(self, levels: Sequence[float] = LEVELS) -> None:
        increasing = all(a < b for a, b in pairwise(levels))
        if not (levels and increasing and levels[0] > 0 and levels[-1] < 1 and 0.5 in levels):
            raise ValueError(
                "quantile levels must be increasing, between 0 and 1, and include 0.5, "
                f"got {levels}"
            )
        self.levels = tuple(levels)
        self.size = len(self.levels)

    def to_params(self, raw: Tensor, location: Tensor, scale: Tensor) -> DistributionParams:
        return (denormalize(raw, location, scale),)

    def loss(self, params: DistributionParams, target: Tensor) -> Tensor:
        return pinball_loss(params[0], target, self.levels).mean(-1)

    def point(self, params: DistributionParams) -> Tensor:
        return params[0].sort(-1).values[..., self.levels.index(0.5)]

    def icdf(self, params: DistributionParams, levels: Sequence[float], index: Tensor) -> Tensor:
        values = params[0].sort(-1).values
        own, wanted = values.new_tensor(self.levels), values.new_tensor(levels)
        upper = torch.searchsorted(own, wanted).clamp(1, len(own) - 1)
        weight = (wanted - own[upper - 1]) / (own[upper] - own[upper - 1])
        outside = (wanted < own[0]) | (wanted > own[-1])
        weight = weight.masked_fill(outside, torch.nan)
        shape = torch.broadcast_shapes(values.shape[:-1], index.shape)
        values, index = values.expand(*shape, -1), index.expand(shape)
        low, high = (_gather_last(values, upper[index] - i) for i in (1, 0))
        return torch.lerp(low, high, weight[index])

    def quantiles(self, params: DistributionParams, levels: Sequence[float]) -> Tensor | None:
        index = torch.arange(len(levels), device=params[0].device)
        return self.icdf((params[0].unsqueeze(-2),), levels, index)


def _gather_last(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(-1, index.unsqueeze(-1)).squeeze(-1)


class Gaussian(Distribution):
    """Normal distribution."""

    size = 2

    def to_params(self, raw: Tensor, location: Tensor, scale: Tensor) -> DistributionParams:
        mean, std = raw.unbind(-1)
        return denormalize(mean, location, scale), (F.softplus(std) + MIN_SCALE) * scale

    def loss(self, params: DistributionParams, target: Tensor) -> Tensor:
        mean, std = params
        return -Normal(mean, std, validate_args=False).log_prob(target)

    def icdf(self, params: DistributionParams, levels: Sequence[float], index: Tensor) -> Tensor:
        mean, std = params
        table = _on_device(_double_table, tuple(levels), mean.dtype, mean.device)
        return mean + std * torch.special.ndtri(table)[index]


class StudentT(Distribution):
    """Student's t distribution with more than two degrees of freedom: heavy tails."""

    size = 3
    TABLE_SIZE = 2048  # intervals of the lookup table of quantiles

    def to_params(self, raw: Tensor, location: Tensor, scale: Tensor) -> DistributionParams:
        mean, width, df = raw.unbind(-1)
        width = (F.softplus(width) + MIN_SCALE) * scale
        return denormalize(mean, location, scale), width, 2 + F.softplus(df) + MIN_SCALE

    def loss(self, params: DistributionParams, target: Tensor) -> Tensor:
        # Torch's distribution checks its parameters in any case, for which the CPU would wait.
        mean, width, df = params
        squared = ((target - mean) / width) ** 2.0
        log_normalizer = width.log() + 0.5 * df.log() + 0.5 * math.log(math.pi)
        log_normalizer = log_normalizer + torch.lgamma(0.5 * df) - torch.lgamma(0.5 * (df + 1.0))
        return 0.5 * (df + 1.0) * torch.log1p(squared / df) + log_normalizer

    def icdf(self, params: DistributionParams, levels: Sequence[float], index: Tensor) -> Tensor:
        mean, width, df = params
        position = self.TABLE_SIZE * 2 / df  # quantiles are smooth in 1 / df, which is below 1/2
        lower = position.long().clamp(0, self.TABLE_SIZE - 1)
        table = _on_device(_student_t_table, tuple(levels), mean.dtype, mean.device)
        low, high = (table[lower + i, index] for i in (0, 1))
        return mean + width * torch.lerp(low, high, position - lower)


def _student_t_table(levels: tuple[float, ...]) -> Tensor:
    """Tabulate quantiles of the standard t distribution over 1 / df, `(size + 1, levels)`."""
    from scipy.special import ndtri, stdtrit

    size = StudentT.TABLE_SIZE
    inverse_df = np.arange(1, size + 1)[:, None] / (2 * size)
    rows = stdtrit(1 / inverse_df, np.array(levels))
    return torch.from_numpy(np.vstack([ndtri(levels), rows]))


class NegativeBinomial(Distribution):
    """Negative binomial distribution of counts, parametrized by mean and dispersion.

    Windows may be scaled but not shifted, so their location must be zero.

    Source: Salinas et al. (2020), https://arxiv.org/abs/1704.04110, section 3.1.
    """

    size, counts = 2, True

    def to_params(self, raw: Tensor, location: Tensor, scale: Tensor) -> DistributionParams:
        mean, dispersion = (F.softplus(part) + MIN_SCALE for part in raw.unbind(-1))
        return mean * scale, dispersion / scale.sqrt()

    def loss(self, params: DistributionParams, target: Tensor) -> Tensor:
        mean, dispersion = params
        logits = (dispersion * mean).log()
        distribution = TorchNegativeBinomial(1 / dispersion, logits=logits, validate_args=False)
        return -distribution.log_prob(target)

    def icdf(self, params: DistributionParams, levels: Sequence[float], index: Tensor) -> Tensor:
        table = _on_device(_double_table, tuple(levels), torch.float64, params[0].device)
        level, mean, dispersion = table[index], *(param.detach().double() for param in params)
        if mean.device.type != "cpu":
            return negative_binomial_quantile(level, mean, dispersion).to(params[0])
        from scipy.stats import nbinom  # ten times as fast on the CPU

        values = nbinom.ppf(level, 1 / dispersion, 1 / (1 + dispersion * mean))
        return torch.from_numpy(np.asarray(values)).to(params[0])


def _double_table(levels: tuple[float, ...]) -> Tensor:
    return torch.tensor(levels, dtype=torch.float64)


def build_output(name: str, loss: str = "mse", levels: Sequence[float] | None = None) -> Output:
    """Build an output by name.

    Args:
        name: `point`, `quantiles`, `gaussian`, `student_t` or `negative_binomial`.
        loss: Loss of point forecasts, `mse`, `mae` or `huber`.
        levels: Levels of `quantiles`; None: 0.025, 0.05, 0.1, ..., 0.95, 0.975.

    Raises:
        ValueError: If a name is unknown or the levels are invalid, see `Quantiles`.
    """
    if name == "point":
        return Point(loss)
    if name == "quantiles":
        return Quantiles(LEVELS if levels is None else levels)
    distributions: dict[str, type[Gaussian | StudentT | NegativeBinomial]] = {
        "gaussian": Gaussian,
        "student_t": StudentT,
        "negative_binomial": NegativeBinomial,
    }
    if name not in distributions:
        names = ", ".join(["point", "quantiles", *distributions])
        raise ValueError(f"output must be one of {names}, got {name!r}")
    return distributions[name]()


def pinball_loss(quantiles: Tensor, target: Tensor, levels: Sequence[float]) -> Tensor:
    """Compute twice the pinball loss, whose mean over all levels is the CRPS.

    Source: Gneiting & Raftery (2007), https://doi.org/10.1198/016214506000001437.

    Args:
        quantiles: `(..., levels)`.
        target: Observed values, `(...)`.
        levels: Probabilities of the quantiles.

    Returns:
        `(..., levels)`.
    """
    error = target.unsqueeze(-1) - quantiles
    level = quantiles.new_tensor(levels)
    return 2 * torch.maximum(level * error, (level - 1) * error)
