"""Recurrent layers with random weights, and inputs for them, for tests of all layers."""

import pytest
import torch
from torch import Tensor

from rnn_lab.nn import LAYERS, Layer, build_layer
from rnn_lab.nn.functional.state import as_tuple

INPUT, HIDDEN, TIME = 5, 8, 7
LENGTHS = torch.tensor([3, 7, 1, 4])

every_layer = pytest.mark.parametrize("name", LAYERS)
every_shape = pytest.mark.parametrize(
    ("num_layers", "bidirectional"), [(1, False), (2, False), (1, True), (2, True)]
)
every_shape_with_zoneout = pytest.mark.parametrize(  # with and without, but not all combinations
    ("num_layers", "bidirectional", "zoneout"),
    [(1, False, 0.0), (2, False, 0.1), (1, True, 0.1), (2, True, 0.0)],
)


def build(name: str, num_layers: int = 1, bidirectional: bool = False, **options: object) -> Layer:
    torch.manual_seed(2)
    dropout = 0.5 if options.get("variational_dropout") else 0.0
    layer = build_layer(name, INPUT, HIDDEN, num_layers, dropout, bidirectional, options=options)
    for key, parameter in layer.named_parameters():
        if "bias" in key or not parameter.any():  # zeros could hide an unused parameter
            parameter.data.add_(torch.randn_like(parameter) / 4)
    return layer


def sequences(batch: int = 4, time: int = TIME, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, time, INPUT, dtype=dtype, generator=generator)


def reachable_state(layer: Layer, batch: int = 4) -> object:
    """Return the state after a few random inputs."""
    with torch.no_grad():
        x = 2 * sequences(batch, 5, next(layer.parameters()).dtype)
        return layer(x)[1]


def weighted_sum(output: Tensor, state: object) -> Tensor:
    """Return a scalar whose gradient differs at every step and unit."""
    return sum(
        (
            part.flatten()
            * torch.linspace(-1, 2, part.numel(), dtype=part.dtype, device=part.device)
        ).sum()
        for part in (output, *as_tuple(state))
    )
