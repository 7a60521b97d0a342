"""How far back a recurrent layer can learn from."""

import copy

import torch
from torch import Tensor, nn


def gradient_by_distance(
    layer: nn.Module, input_size: int, time: int, rows: int = 32, seed: int = 0
) -> Tensor:
    """Measure how much of the gradient of the last output arrives at each earlier input.

    The norm (Frobenius) of the derivative of the last output by the input some steps before, over
    that by the last input. It is estimated over random rows, by one random direction of the output
    for each of them.

    Source: Bengio et al. (1994), https://doi.org/10.1109/72.279181; Pascanu et al. (2013),
    https://arxiv.org/abs/1211.5063.

    Args:
        layer: A recurrent layer `(batch, time, input_size) -> output, state` that reads forwards;
            a copy of it is measured, in double precision and without dropout.
        input_size: Features of a step.
        time: Steps that are read, one more than the largest distance.
        rows: Rows of standard normal inputs.
        seed: What inputs and directions are drawn from.

    Returns:
        Norms by distance, `(time,)` float64, the first of them 1.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, time, input_size, generator=generator, dtype=torch.double)
    x.requires_grad_()
    last = copy.deepcopy(layer).double().eval()(x)[0][:, -1]
    direction = torch.randn(last.shape, generator=generator, dtype=torch.double)
    (gradient,) = torch.autograd.grad((last * direction).sum(), x)
    norms = gradient.square().sum(2).mean(0).sqrt().flip(0)
    return norms / norms[0]
