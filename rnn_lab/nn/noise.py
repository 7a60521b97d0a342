"""Noise on what is read."""

import math

import torch
from torch import Tensor, nn


class GaussianNoise(nn.Module):
    """Add normal noise to every value, in training only.

    Source: Bishop (1995), https://doi.org/10.1162/neco.1995.7.1.108, on why it regularizes.

    Args:
        deviation: Standard deviation of the noise, in the units of the values.
    """

    def __init__(self, deviation: float) -> None:
        super().__init__()
        if not 0 <= deviation < math.inf:
            raise ValueError(f"noise must have a deviation of at least 0, got {deviation}")
        self.deviation = deviation

    def forward(self, x: Tensor) -> Tensor:
        """Add noise to values of any shape."""
        if not self.training or self.deviation == 0:
            return x
        return x + self.deviation * torch.randn_like(x)

    def extra_repr(self) -> str:
        return f"deviation={self.deviation}"
