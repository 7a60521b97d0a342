"""Compare the compiled kernels with plain PyTorch; the exit status is 1 if they differ."""

import sys
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from rnn_lab.nn.functional.padding import lengths_to_mask
from rnn_lab.nn.functional.state import as_tuple, from_tuple
from rnn_lab.nn.layers.registry import LAYERS, build_layer
from rnn_lab.nn.native.library import disabled, load
from rnn_lab.nn.seq2seq.attention import ATTENTIONS
from rnn_lab.nn.seq2seq.decoders import (
    DECODER_LAYERS,
    AttentionDecoder,
    AttentiveDecoder,
    InputFeedingDecoder,
)

SIZES = ((5, 6), (40, 37))  # inputs and units
TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-10}
LENGTHS = torch.tensor([3, 9, 1, 7, 9])
NORMS = [(name, {"norm": "gate"}) for name in ("LayerNormLSTM", "LayerNormGRU")]
DECODERS = [
    (decoder, layer, attention)
    for decoder in (AttentionDecoder, InputFeedingDecoder)
    for layer in DECODER_LAYERS
    for attention in ATTENTIONS
]
Results = Callable[[int, int, torch.dtype], list[Tensor]]


def main() -> None:
    """Run every layer and decoder in both ways; name the first that differs."""
    if load() is None:
        sys.exit("error: the compiled kernels cannot be loaded")
    for name, options in [*((name, {}) for name in LAYERS), *NORMS]:
        _compare(name, partial(_results, name, options))
    for decoder, layer, attention in DECODERS:
        name = f"{decoder.__name__} with {layer} and {attention} attention"
        _compare(name, partial(_decoder_results, decoder, layer, attention))


def _compare(name: str, results: Results) -> None:
    for inputs, units in SIZES:
        for dtype, tolerance in TOLERANCES.items():
            compiled = results(inputs, units, dtype)
            with disabled():
                plain = results(inputs, units, dtype)
            for a, b in zip(compiled, plain, strict=True):
                largest = max(1.0, float(b.abs().max()))
                if not torch.allclose(a, b, tolerance, tolerance * largest):
                    sys.exit(f"error: the compiled kernel of {name} differs from PyTorch")


def _results(
    name: str, options: dict[str, str], inputs: int, units: int, dtype: torch.dtype
) -> list[Tensor]:
    """Return outputs, final states and gradients of a bidirectional layer."""
    generator = torch.Generator().manual_seed(0)
    layer = build_layer(name, inputs, units, 2, 0.0, bidirectional=True, options=options).to(dtype)
    _draw(layer, generator)
    x = torch.randn(len(LENGTHS), 9, inputs, dtype=dtype, generator=generator, requires_grad=True)
    output, state = layer(x, LENGTHS)
    results = [output, *as_tuple(state)]
    sum((y * y).sum() for y in results).backward()
    gradients = [p.grad for p in layer.parameters() if p.grad is not None]
    return [*(y.detach() for y in results), x.grad, *gradients]


def _decoder_results(
    decoder_class: type[AttentiveDecoder],
    layer: str,
    attention: str,
    inputs: int,
    units: int,
    dtype: torch.dtype,
) -> list[Tensor]:
    """Return logits, weights of the attention, final states and gradients of a decoder."""
    generator = torch.Generator().manual_seed(0)
    decoder = decoder_class(
        7, inputs, units, 2, layer=layer, attention=attention, memory_size=inputs + 1
    ).to(dtype)
    _draw(decoder, generator)
    memory = torch.randn(len(LENGTHS), 9, inputs + 1, dtype=dtype, generator=generator)
    memory.requires_grad_()
    zeros = memory.new_zeros(decoder.num_states, 2, len(LENGTHS), units)
    state = decoder.start(from_tuple(zeros.unbind(0)))
    tokens = torch.arange(4 * len(LENGTHS)).view(-1, 4) % 7
    logits, state, weights = decoder(tokens, state, memory, lengths_to_mask(LENGTHS, 9))
    results = [logits, weights, *as_tuple(state)]
    sum((y * y).sum() for y in results).backward()
    gradients = [p.grad for p in decoder.parameters() if p.grad is not None]
    return [*(y.detach() for y in results), memory.grad, *gradients]


def _draw(module: nn.Module, generator: torch.Generator) -> None:
    """Draw all parameters."""
    for parameter in module.parameters():
        values = torch.rand(parameter.shape, dtype=parameter.dtype, generator=generator)
        parameter.data.copy_(values - 0.5)


if __name__ == "__main__":
    main()
