"""Noise added to inputs for regularization."""

import math

import torch
from torch import Tensor, nn


class GaussianNoise(nn.Module):
    """Add Gaussian noise in training.

    Source: Bishop (1995), https://doi.org/10.1162/neco.1995.7.1.108, on why it regularizes.

    Args:
        std: Standard deviation of the noise, in the units of the input.
    """

    def __init__(self, std: float) -> None:
        super().__init__()
        if not 0 <= std < math.inf:
            raise ValueError(f"the standard deviation of noise must be at least 0, got {std}")
        self.std = std

    def forward(self, x: Tensor) -> Tensor:
        """Add noise to a tensor of any shape."""
        if not self.training or self.std == 0:
            return x
        return x + self.std * torch.randn_like(x)

    def extra_repr(self) -> str:
        return f"std={self.std}"
