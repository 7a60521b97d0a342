"""Inputs of layers, for tests that compare compiled kernels with plain PyTorch."""

import torch
from torch import Tensor

BATCH, STEPS = 6, 9


def sequences(inputs: int = 5, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw an input whose gradient is computed, `(6, 9, inputs)`."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(BATCH, STEPS, inputs, generator=generator).to(dtype).requires_grad_()
