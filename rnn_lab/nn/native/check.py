"""Compare the compiled kernels with plain PyTorch; the exit status is 1 if they differ."""

import sys

import torch
from torch import Tensor

from rnn_lab.nn.functional.state import as_tuple
from rnn_lab.nn.layers.registry import LAYERS, build_layer
from rnn_lab.nn.native.library import disabled, load

SIZES = ((5, 6), (40, 37))  # inputs and units
TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-10}
LENGTHS = torch.tensor([3, 9, 1, 7, 9])
NORMS = [(name, {"norm": "gate"}) for name in ("LayerNormLSTM", "LayerNormGRU")]


def main() -> None:
    """Run every layer in both ways; name the first that differs."""
    if load() is None:
        sys.exit("error: the compiled kernels cannot be loaded")
    for name, options in [*((name, {}) for name in LAYERS), *NORMS]:
        for inputs, units in SIZES:
            for dtype, tolerance in TOLERANCES.items():
                compiled = _results(name, inputs, units, dtype, options)
                with disabled():
                    plain = _results(name, inputs, units, dtype, options)
                for a, b in zip(compiled, plain, strict=True):
                    largest = max(1.0, float(b.abs().max()))
                    if not torch.allclose(a, b, tolerance, tolerance * largest):
                        sys.exit(f"error: the compiled kernel of {name} differs from PyTorch")


def _results(
    name: str, inputs: int, units: int, dtype: torch.dtype, options: dict[str, str]
) -> list[Tensor]:
    """Return outputs, final states and gradients of a bidirectional layer."""
    generator = torch.Generator().manual_seed(0)
    layer = build_layer(name, inputs, units, 2, 0.0, bidirectional=True, options=options).to(dtype)
    for parameter in layer.parameters():
        values = torch.rand(parameter.shape, dtype=dtype, generator=generator)
        parameter.data.copy_(values - 0.5)
    x = torch.randn(len(LENGTHS), 9, inputs, dtype=dtype, generator=generator, requires_grad=True)
    output, state = layer(x, LENGTHS)
    results = [output, *as_tuple(state)]
    sum((y * y).sum() for y in results).backward()
    gradients = [p.grad for p in layer.parameters() if p.grad is not None]
    return [*(y.detach() for y in results), x.grad, *gradients]


if __name__ == "__main__":
    main()
