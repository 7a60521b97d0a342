"""Use a compiled kernel for all steps of a decoder, where there is one."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnn_lab.nn.functional.padding import lengths_to_mask
from rnn_lab.nn.functional.state import State, as_tuple, from_tuple
from rnn_lab.nn.layers.fused import FusedRNN
from rnn_lab.nn.native.decoder import DecoderLoop, Inputs
from rnn_lab.nn.native.recurrence import supports
from rnn_lab.nn.seq2seq.attention import (
    AdditiveAttention,
    AttentionLayer,
    GeneralAttention,
    Memory,
    ScaledDotAttention,
)

Score = tuple[Tensor | None, Tensor | None, Tensor | None]  # weight and bias of the query, v


def _additive(attention: Any) -> Score:
    return attention.query.weight, attention.query.bias, attention.v.weight[0]


def _scaled_dot(attention: Any) -> Score:
    scale = attention.hidden_size**-0.5
    return attention.query.weight * scale, attention.query.bias * scale, None


# Subclasses with a score of their own are not among them.
SCORES: dict[type[AttentionLayer], Callable[[Any], Score]] = {
    AdditiveAttention: _additive,
    ScaledDotAttention: _scaled_dot,
    GeneralAttention: lambda attention: (None, None, None),
}


def run_compiled(
    net: FusedRNN,
    attention: AttentionLayer,
    embedded: Tensor,
    state: State,
    memory: Memory | None,
    readout: nn.Linear | None = None,
) -> tuple[Tensor, Tensor, State, Tensor] | None:
    """Run all steps of layers that read what attention gave before, by a compiled kernel.

    Args:
        net: The recurrent layers.
        attention: The attention, whose query is the output of the last layer.
        embedded: The first features of the input of all steps, `(rows, steps, embedding_dim)`.
        state: The state before the first step; with input feeding, its last tensor is the
            readout, `(1, rows, readout_dim)`.
        memory: The prepared memory.
        readout: With input feeding, the projection of output, context and embedding, whose tanh
            the layers read at the next step; None: they read the context of the output before.

    Returns:
        Output, context, state and weights of all steps, as `run_layers` of decoders; None if the
        kernels do not support this, as a single step, or they are not built.
    """
    score = SCORES.get(type(attention))
    rows, steps, _ = embedded.shape
    if score is None or memory is None or steps == 1 or rows != len(memory.values):
        return None
    parts, fed = as_tuple(state), None
    projection: tuple[Tensor | None, Tensor | None] = None, None
    if readout is not None:
        parts, fed = parts[:-1], parts[-1][0]
        projection = readout.weight, readout.bias
    if len(parts) != net.num_states:
        return None  # PyTorch reports the error
    layers = tuple(tuple(net.weights(layer)) for layer in range(net.num_layers))
    source = embedded, memory.values, memory.keys
    inputs = Inputs(*source, *score(attention), *projection, fed, parts, layers)
    tensors = [tensor for tensor in inputs.flatten() if tensor is not None]
    if not supports(f"{net.native_kernel}_decoder", *tensors) or not _fits(inputs):
        return None
    lengths = _lengths(memory)
    if memory.mask is not None and lengths is None:
        return None
    loop = DecoderLoop(net.native_kernel, lengths, _masks(net, embedded))
    output, context, weights, fed, after = loop(inputs)
    if fed is not None:
        after = (*after, fed.unsqueeze(0))
    return output, context, from_tuple(after), weights


def _fits(inputs: Inputs) -> bool:
    """Return whether the shapes fit together; PyTorch reports errors."""
    rows, _, embedding_dim = inputs.embedded.shape
    shape, hidden = inputs.values.shape[:2], inputs.layers[0][1].size(1)
    fed, size = inputs.values.size(2), hidden
    if inputs.query_weight is not None:
        size = inputs.keys.size(2)
        if inputs.query_weight.shape != (size, hidden) or inputs.query_bias is None:
            return False
    if inputs.readout_weight is not None and inputs.fed is not None:
        fed = inputs.readout_weight.size(0)
        columns = hidden + inputs.values.size(2) + embedding_dim
        if inputs.readout_weight.size(1) != columns or inputs.fed.shape != (rows, fed):
            return False
    return (
        inputs.values.numel() > 0
        and inputs.keys.shape == (*shape, size)
        and inputs.layers[0][0].size(1) == embedding_dim + fed
        and all(part.shape == (len(inputs.layers), rows, hidden) for part in inputs.state)
    )


def _lengths(memory: Memory) -> Tensor | None:
    """Return the number of real steps of each source; None if padding is not at the end."""
    mask = memory.mask
    if mask is None or mask.shape != memory.values.shape[:2]:
        return None
    lengths = mask.sum(1)
    is_prefix = torch.equal(lengths_to_mask(lengths, mask.size(1)), mask)
    return lengths if is_prefix and int(lengths.min()) > 0 else None


def _masks(net: FusedRNN, embedded: Tensor) -> list[Tensor]:
    """Draw the dropout masks of each layer but the first, in the order of single steps.

    Each is `(rows, steps, hidden)`; none if there is no dropout.
    """
    if not net.training or net.dropout == 0 or net.num_layers == 1:
        return []
    rows, steps, _ = embedded.shape
    ones, upper = embedded.new_ones(rows, net.hidden_size), net.num_layers - 1
    drawn = [F.dropout(ones, net.dropout) for _ in range(steps * upper)]
    return [torch.stack(drawn[layer::upper], 1) for layer in range(upper)]
