"""What a forecaster says of a value to come: a point, quantiles or a distribution.

An output reads the numbers that a network gives for each value, `(..., size)`, in the scale of a
normalized window, and brings them into the scale of the data by `place`. From there on it gives the
loss of what came, the forecast as one number, and its quantiles.
"""

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
from torch.distributions import StudentT as TorchStudentT

Parameters = tuple[Tensor, ...]
LEVELS = (0.025, *(round(0.05 * i, 2) for i in range(1, 20)), 0.975)  # what is measured
LEAST = 1e-4  # of a deviation or a mean: no value can be certain


class Output(ABC):
    """Reads `size` numbers for each value.

    Attributes:
        size: Numbers that a network gives for each value.
        probabilistic: Whether it says more than a point.
    """

    size = 1
    probabilistic = True

    @abstractmethod
    def place(self, raw: Tensor, location: Tensor, scale: Tensor) -> Parameters:
        """Read a network's numbers and bring them into the scale of the data.

        Args:
            raw: Of each value, `(..., size)`.
            location: What is zero in a normalized window, like `raw` without its last axis.
            scale: What is one there, alike.

        Returns:
            The output's parameters, each `(...)` or, of quantiles, `(..., levels)`.
        """

    @abstractmethod
    def loss(self, parameters: Parameters, target: Tensor) -> Tensor:
        """Say how bad the parameters are for what came, `(...)`, value by value."""

    def point(self, parameters: Parameters) -> Tensor:
        """The forecast as one number for each value, `(...)`."""
        return parameters[0]

    def at(self, parameters: Parameters, levels: Sequence[float], which: Tensor) -> Tensor:
        """What is not exceeded with a probability: at one that is drawn, this is a draw.

        Args:
            parameters: Each of a shape that goes with `which`.
            levels: Probabilities between 0 and 1.
            which: Number of the level that is asked for, element by element.
        """
        raise NotImplementedError(f"{type(self).__name__} knows nothing of probabilities")

    def quantiles(self, parameters: Parameters, levels: Sequence[float]) -> Tensor | None:
        """What is not exceeded with each of some probabilities.

        Args:
            parameters: Each `(...)`, or of quantiles `(..., levels)`.
            levels: Probabilities between 0 and 1.

        Returns:
            `(..., levels)`; None where the output knows nothing of probabilities.
        """
        which = torch.arange(len(levels), device=parameters[0].device)
        return self.at(tuple(part.unsqueeze(-1) for part in parameters), levels, which)


class Point(Output):
    """One number a value.

    Args:
        loss: `mse`, `mae` or `huber` (squared up to one, in the scale of the data).
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

    def place(self, raw: Tensor, location: Tensor, scale: Tensor) -> Parameters:
        return (raw.squeeze(-1) * scale + location,)

    def loss(self, parameters: Parameters, target: Tensor) -> Tensor:
        return self._loss(parameters[0], target, reduction="none")

    def quantiles(self, parameters: Parameters, levels: Sequence[float]) -> Tensor | None:
        return None


class Quantiles(Output):
    """The values that are not exceeded with given probabilities, by the pinball loss.

    What crosses is put in order (Chernozhukov et al., 2010). Between two levels quantiles are
    interpolated; beyond the outermost they are not known (NaN).

    Source: Koenker & Bassett (1978), https://doi.org/10.2307/1913643.

    Args:
        levels: The probabilities, rising, 0.5 among them: the forecast as one number.
    """

    def __init__(self, levels: Sequence[float] = LEVELS) -> None:
        rising = all(a < b for a, b in pairwise(levels))
        if not (levels and rising and levels[0] > 0 and levels[-1] < 1 and 0.5 in levels):
            raise ValueError(f"levels must rise from above 0 to below 1 over 0.5, got {levels}")
        self.levels = tuple(levels)
        self.size = len(self.levels)

    def place(self, raw: Tensor, location: Tensor, scale: Tensor) -> Parameters:
        return (raw * scale.unsqueeze(-1) + location.unsqueeze(-1),)

    def loss(self, parameters: Parameters, target: Tensor) -> Tensor:
        return pinball(parameters[0], target, self.levels).mean(-1)

    def point(self, parameters: Parameters) -> Tensor:
        return parameters[0].sort(-1).values[..., self.levels.index(0.5)]

    def at(self, parameters: Parameters, levels: Sequence[float], which: Tensor) -> Tensor:
        values = parameters[0].sort(-1).values
        known, wanted = values.new_tensor(self.levels), values.new_tensor(levels)
        right = torch.searchsorted(known, wanted).clamp(1, len(known) - 1)
        share = (wanted - known[right - 1]) / (known[right] - known[right - 1])
        beyond = (wanted < known[0]) | (wanted > known[-1])
        share = share.masked_fill(beyond, torch.nan)
        shape = torch.broadcast_shapes(values.shape[:-1], which.shape)
        values, which = values.expand(*shape, -1), which.expand(shape)
        low, high = (_picked(values, right[which] - i) for i in (1, 0))
        return torch.lerp(low, high, share[which])

    def quantiles(self, parameters: Parameters, levels: Sequence[float]) -> Tensor | None:
        which = torch.arange(len(levels), device=parameters[0].device)
        return self.at((parameters[0].unsqueeze(-2),), levels, which)


def _picked(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(-1, index.unsqueeze(-1)).squeeze(-1)


class Gaussian(Output):
    """A normal distribution."""

    size = 2

    def place(self, raw: Tensor, location: Tensor, scale: Tensor) -> Parameters:
        mean, deviation = raw.unbind(-1)
        return mean * scale + location, (F.softplus(deviation) + LEAST) * scale

    def loss(self, parameters: Parameters, target: Tensor) -> Tensor:
        mean, deviation = parameters
        return -Normal(mean, deviation, validate_args=False).log_prob(target)

    def at(self, parameters: Parameters, levels: Sequence[float], which: Tensor) -> Tensor:
        mean, deviation = parameters
        return mean + deviation * torch.special.ndtri(mean.new_tensor(levels))[which]


class StudentT(Output):
    """A Student-t distribution with more than two degrees of freedom: heavy tails, a variance."""

    size = 3
    GRID = 2048  # places of a table that quantiles are read from

    def place(self, raw: Tensor, location: Tensor, scale: Tensor) -> Parameters:
        mean, width, freedom = raw.unbind(-1)
        width = (F.softplus(width) + LEAST) * scale
        return mean * scale + location, width, 2 + F.softplus(freedom) + LEAST

    def loss(self, parameters: Parameters, target: Tensor) -> Tensor:
        mean, width, freedom = parameters
        return -TorchStudentT(freedom, mean, width, validate_args=False).log_prob(target)

    def at(self, parameters: Parameters, levels: Sequence[float], which: Tensor) -> Tensor:
        mean, width, freedom = parameters
        place = self.GRID * 2 / freedom  # smooth in one over the degrees, which lies below a half
        before = place.long().clamp(0, self.GRID - 1)
        table = _student_t_table(tuple(levels), self.GRID).to(mean)
        low, high = (table[before + i, which] for i in (0, 1))
        return mean + width * torch.lerp(low, high, place - before)


@lru_cache(maxsize=8)
def _student_t_table(levels: tuple[float, ...], grid: int) -> Tensor:
    """Quantiles of the standard distribution by one over its degrees, `(grid + 1, levels)`."""
    from scipy.special import ndtri, stdtrit

    places = np.arange(1, grid + 1)[:, None] / (2 * grid)
    rows = stdtrit(1 / places, np.array(levels))
    return torch.from_numpy(np.vstack([ndtri(levels), rows]))


class NegativeBinomial(Output):
    """A negative binomial distribution: counts, by mean and dispersion.

    A window is scaled, not shifted, so its location must be zero.

    Source: Salinas et al. (2020), https://arxiv.org/abs/1704.04110, section 3.1.
    """

    size = 2

    def place(self, raw: Tensor, location: Tensor, scale: Tensor) -> Parameters:
        mean, dispersion = (F.softplus(part) + LEAST for part in raw.unbind(-1))
        return mean * scale, dispersion / scale.sqrt()

    def loss(self, parameters: Parameters, target: Tensor) -> Tensor:
        mean, dispersion = parameters
        logits = (dispersion * mean).log()
        found = TorchNegativeBinomial(1 / dispersion, logits=logits, validate_args=False)
        return -found.log_prob(target)

    def at(self, parameters: Parameters, levels: Sequence[float], which: Tensor) -> Tensor:
        from scipy.stats import nbinom

        mean, dispersion = (part.detach().double().cpu().numpy() for part in parameters)
        level = np.array(levels)[which.cpu().numpy()]
        found = nbinom.ppf(level, 1 / dispersion, 1 / (1 + dispersion * mean))
        return torch.from_numpy(np.asarray(found)).to(parameters[0])


def output(name: str, loss: str = "mse", levels: Sequence[float] | None = None) -> Output:
    """Build an output by its name.

    Args:
        name: `point`, `quantiles`, `gaussian`, `student_t` or `negative_binomial`.
        loss: What a point minimizes, `mse`, `mae` or `huber`.
        levels: Of quantiles; None: 2.5 %, 5 % and so on to 97.5 %.

    Raises:
        ValueError: If a name is unknown, or levels do not rise over 0.5.
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


def pinball(quantiles: Tensor, target: Tensor, levels: Sequence[float]) -> Tensor:
    """Twice the pinball loss, whose mean over all levels is the CRPS.

    Source: Gneiting & Raftery (2007), https://doi.org/10.1198/016214506000001437.

    Args:
        quantiles: `(..., levels)`.
        target: What came, `(...)`.
        levels: Their probabilities.

    Returns:
        `(..., levels)`.
    """
    error = target.unsqueeze(-1) - quantiles
    level = quantiles.new_tensor(levels)
    return 2 * torch.maximum(level * error, (level - 1) * error)
