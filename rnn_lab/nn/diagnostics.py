"""Diagnostics of how far back gradients of recurrent layers reach."""

import copy

import torch
from torch import Tensor, nn


def gradient_by_distance(
    layer: nn.Module, input_size: int, time: int, batch_size: int = 32, seed: int = 0
) -> Tensor:
    """Measure how the gradient of the last output decays with the distance of the input.

    The result is the Frobenius norm of the derivative of the last output by each earlier input,
    divided by that for the last input. It is estimated over random sequences, with one random
    projection of the output for each of them.

    Source: Bengio et al. (1994), https://doi.org/10.1109/72.279181; Pascanu et al. (2013),
    https://arxiv.org/abs/1211.5063.

    Args:
        layer: A unidirectional layer `(batch, time, input_size) -> output, state`; a copy of it
            is measured, in double precision and without dropout.
        input_size: Number of input features.
        time: Number of time steps, one more than the largest distance.
        batch_size: Number of sequences of standard normal inputs.
        seed: Seed of inputs and projections.

    Returns:
        Norms by distance in steps, `(time,)` float64, the first of them 1.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch_size, time, input_size, generator=generator, dtype=torch.double)
    x.requires_grad_()
    last = copy.deepcopy(layer).double().eval()(x)[0][:, -1]
    projection = torch.randn(last.shape, generator=generator, dtype=torch.double)
    (gradient,) = torch.autograd.grad((last * projection).sum(), x)
    norms = gradient.square().sum(2).mean(0).sqrt().flip(0)
    return norms / norms[0]
