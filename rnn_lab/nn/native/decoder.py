"""All steps of a decoder with attention of earlier states by a compiled kernel, and their gradient.

The recurrent layers read at each step the context of the state before (attention before the
layers), or the readout of the step before (input feeding).
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from rnn_lab.nn.functional.linear import linear_nograd
from rnn_lab.nn.functional.once_differentiable import once_differentiable
from rnn_lab.nn.native.library import (
    Attention,
    Decoder,
    DecoderLayer,
    Layer,
    Pointers,
    function,
)
from rnn_lab.nn.native.recurrence import DTYPES, RESET_AFTER, WITH_EXTRA, address, pointer


class Inputs(NamedTuple):
    """What a decoder reads.

    Attributes:
        embedded: The first features of the input of all steps, `(batch, steps, embedding_dim)`.
        values: Values of the attention, `(batch, time, memory_size)`.
        keys: Its keys, `(batch, time, key_size)`.
        query_weight: Weights from the state to the query, `(key_size, hidden)`; None: the state is
            the query.
        query_bias: Their bias, `(key_size,)`.
        v: Weights of additive scores, `(key_size,)`; None: scores are dot products.
        readout_weight: With input feeding, weights of the readout of output, context and embedding,
            `(readout_dim, hidden + memory_size + embedding_dim)`; None: attention before the
            layers.
        readout_bias: Their bias, `(readout_dim,)`.
        fed: With input feeding, the readout before the first step, `(batch, readout_dim)`.
        state: Initial state, each tensor `(layers, batch, hidden)`.
        layers: Input weights, recurrent weights, and their biases of each layer.
    """

    embedded: Tensor
    values: Tensor
    keys: Tensor
    query_weight: Tensor | None
    query_bias: Tensor | None
    v: Tensor | None
    readout_weight: Tensor | None
    readout_bias: Tensor | None
    fed: Tensor | None
    state: tuple[Tensor, ...]
    layers: tuple[tuple[Tensor, ...], ...]

    def flatten(self) -> tuple[Tensor | None, ...]:
        """Return all tensors."""
        return (*self[:-2], *self.state, *(weight for layer in self.layers for weight in layer))

    @classmethod
    def unflatten(cls, tensors: Sequence[Any], num_states: int) -> "Inputs":
        """Return inputs from all tensors."""
        single = len(cls._fields) - 2
        state, weights = tensors[single : single + num_states], tensors[single + num_states :]
        layers = [tuple(weights[i : i + 4]) for i in range(0, len(weights), 4)]
        return cls._make([*tensors[:single], tuple(state), tuple(layers)])


@dataclass(frozen=True)
class DecoderLoop:
    """What a compiled kernel computes.

    Attributes:
        kernel: Name of the kernel of the recurrent layers, such as `gru`.
        lengths: Real steps of each source, `(batch,)` int64; None: all are real.
        masks: By which the input of each layer but the first is multiplied, each
            `(batch, steps, hidden)`; empty: there is no dropout.
    """

    kernel: str
    lengths: Tensor | None
    masks: Sequence[Tensor]

    def __call__(
        self, inputs: Inputs
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None, tuple[Tensor, ...]]:
        """Compute all steps.

        Returns:
            Output, `(batch, steps, hidden)`, contexts, `(batch, steps, memory_size)`, weights of
            the attention, `(batch, steps, time)`, the last readout, `(batch, readout_dim)` (None
            without input feeding), and the state after the last step, shaped like the initial one.
        """
        tensors = inputs.flatten()
        keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
        output, context, weights, fed, *state = _DecoderLoop.apply(
            self, keep, len(inputs.state), *tensors
        )
        return output, context, weights, fed, tuple(state)


class _DecoderLoop(Function):
    @staticmethod
    def forward(
        ctx: Any, loop: DecoderLoop, keep: bool, num_states: int, *tensors: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        run = _Run.start(loop, keep, Inputs.unflatten(tensors, num_states))
        last = run.forward()
        ctx.loop, ctx.num_states, ctx.has_gates = loop, num_states, True
        ctx.set_materialize_grads(False)
        if keep:
            ctx.save_for_backward(*tensors, *run.memory)
        fed = None if run.inputs.fed is None else run.readouts[:, -1].clone()
        return (run.states[0][-1], run.contexts, run.weights, fed, *last)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        """Compute all gradients; gates and readouts are replaced by theirs in place."""
        needed = ctx.needs_input_grad[3:]
        tensors, memory = ctx.saved_tensors[: len(needed)], ctx.saved_tensors[len(needed) :]
        inputs = Inputs.unflatten(tensors, ctx.num_states)
        if ctx.has_gates:
            run = _Run(ctx.loop, True, _contiguous(inputs), *memory)
            ctx.has_gates = False
        else:  # a backward pass before this one, with retain_graph=True, has replaced them
            run = _Run.start(ctx.loop, True, inputs)
            run.forward()
        return (None,) * 3 + run.backward(grads, needed[0]).flatten()


def _contiguous(inputs: Inputs) -> Inputs:
    tensors = [None if t is None else t.contiguous() for t in inputs.flatten()]
    return Inputs.unflatten(tensors, len(inputs.state))


class _Run:
    """One forward and backward pass, with the memory that the kernel reads and writes.

    Args:
        loop: What is computed.
        keep: Whether a gradient is needed.
        inputs: Contiguous tensors.
        queries: Queries of all steps, `(batch, steps, key_size)`.
        weights: Weights of the attention, `(batch, steps, time)`.
        contexts: Contexts, `(batch, steps, memory_size)`.
        readouts: Projected embeddings, then readouts, then gradients of their pre-activations,
            `(batch, steps, readout_dim)`; empty without input feeding.
        layers: Gates of each layer, `(batch, steps, gates * hidden)`, as in `Run`; then one more
            value of each unit and step, or an empty tensor; then states, in the order of the
            inputs, each tensor `(batch, steps, hidden)`, or empty if they are not needed.
    """

    def __init__(
        self,
        loop: DecoderLoop,
        keep: bool,
        inputs: Inputs,
        queries: Tensor,
        weights: Tensor,
        contexts: Tensor,
        readouts: Tensor,
        *layers: Tensor,
    ) -> None:
        self.loop, self.keep, self.inputs = loop, keep, inputs
        self.queries, self.weights, self.contexts = queries, weights, contexts
        self.readouts = readouts
        self.memory = (queries, weights, contexts, readouts, *layers)
        self.depth, self.embedding_dim = len(inputs.layers), inputs.embedded.size(2)
        depth = self.depth
        self.gates, self.extra, *self.states = (
            layers[i : i + depth] for i in range(0, len(layers), depth)
        )

    @classmethod
    def start(cls, loop: DecoderLoop, keep: bool, inputs: Inputs) -> "_Run":
        """Project the embeddings and allocate the memory."""
        inputs = _contiguous(inputs)
        embedded, values, keys = inputs[:3]
        depth, hidden = len(inputs.layers), inputs.state[0].size(2)

        def empty(size: int, needed: bool = True) -> Tensor:
            return embedded.new_empty(*embedded.shape[:2], size) if needed else embedded[:0]

        gates = [_gate_inputs(loop.kernel, embedded, w, i) for i, w in enumerate(inputs.layers)]
        extra = [empty(hidden, keep and loop.kernel in WITH_EXTRA) for _ in range(depth)]
        readouts = embedded[:0]
        if inputs.readout_weight is not None:
            weight = inputs.readout_weight[:, -embedded.size(2) :]
            readouts = linear_nograd(embedded, weight, inputs.readout_bias)
        states = [
            empty(hidden, keep or (part == 0 and layer == depth - 1))
            for part in range(len(inputs.state))
            for layer in range(depth)
        ]
        sizes = (keys.size(2), values.size(1), values.size(2))
        return cls(loop, keep, inputs, *map(empty, sizes), readouts, *gates, *extra, *states)

    def forward(self) -> list[Tensor]:
        """Compute all steps; return the final state."""
        last = [torch.empty_like(part) for part in self.inputs.state]
        self._call("forward", self._decoder(self._attention(), last=last))
        return last

    def backward(self, grads: Sequence[Tensor | None], of_embedded: bool) -> Inputs:
        """Compute the gradients of all inputs."""
        given = [None if grad is None else grad.contiguous() for grad in grads]
        grad_output, grad_context, grad_weights, grad_fed, *grad_last = given
        inputs, products = self.inputs, self._layer_inputs()  # the readouts are replaced below
        of_contexts = torch.zeros_like(self.contexts)
        if grad_context is not None:
            of_contexts.copy_(grad_context)
        of_queries, of_scores = torch.empty_like(self.queries), torch.empty_like(self.weights)
        of_keys, of_values = torch.zeros_like(inputs.keys), torch.zeros_like(inputs.values)
        of_v = inputs.keys.new_zeros(len(inputs.keys), inputs.keys.size(2))
        attention = self._attention(
            of_weights=grad_weights,
            of_queries=of_queries,
            of_scores=of_scores,
            of_contexts=of_contexts,
            of_keys=of_keys,
            of_values=of_values,
            of_v=of_v,
        )
        of_state = [torch.empty_like(part) for part in inputs.state]
        of_fed = None if inputs.fed is None else torch.empty_like(inputs.fed)
        decoder = self._decoder(
            attention, grad_output, grad_fed, of_fed, grad_last=grad_last, grad_first=of_state
        )
        self._call("backward", decoder)
        return Inputs(
            self._embedded_gradient() if of_embedded else inputs.embedded,
            of_values,
            of_keys,
            *self._query_gradient(of_queries),
            None if inputs.v is None else of_v.sum(0),
            *self._readout_gradient(),
            of_fed,
            tuple(of_state),
            tuple(self._layer_gradient(i, x) for i, x in enumerate(products)),
        )

    def _layer_inputs(self) -> list[Tensor]:
        """Return the input of each layer at all steps."""
        fed = self.contexts
        if self.inputs.fed is not None:
            fed = _shifted(self.inputs.fed, self.readouts)
        inputs = [torch.cat([self.inputs.embedded, fed], 2), *self.states[0][:-1]]
        for layer, mask in enumerate(self.loop.masks, 1):
            inputs[layer] = inputs[layer] * mask
        return inputs

    def _embedded_gradient(self) -> Tensor:
        size, weight = self.embedding_dim, self.inputs.layers[0][0]
        result = linear_nograd(self.gates[0], weight[:, :size].t())
        if self.inputs.readout_weight is not None:
            result += linear_nograd(self.readouts, self.inputs.readout_weight[:, -size:].t())
        return result

    def _query_gradient(self, of_queries: Tensor) -> tuple[Tensor | None, Tensor | None]:
        if self.inputs.query_weight is None:
            return None, None
        output = self.states[0][-1]
        if self.inputs.fed is None:
            output = _shifted(self.inputs.state[0][-1], output)
        return self._weight_gradient(of_queries, output)

    def _readout_gradient(self) -> tuple[Tensor | None, Tensor | None]:
        if self.inputs.readout_weight is None:
            return None, None
        inputs = torch.cat([self.states[0][-1], self.contexts, self.inputs.embedded], 2)
        return self._weight_gradient(self.readouts, inputs)

    def _layer_gradient(self, layer: int, inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the gradient of a layer's weights from its input at all steps."""
        gates, output = self.gates[layer], self.states[0][layer]
        before = _shifted(self.inputs.state[0][layer], output)
        of_w_ih, of_b_ih = self._weight_gradient(gates, inputs)
        if self.loop.kernel != RESET_AFTER:
            return of_w_ih, self._weight_gradient(gates, before)[0], of_b_ih, of_b_ih.clone()
        gates = torch.cat([gates[..., : -output.size(2)], self.extra[layer]], 2)
        of_w_hh, of_b_hh = self._weight_gradient(gates, before)
        return of_w_ih, of_w_hh, of_b_ih, of_b_hh

    def _weight_gradient(self, grads: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the gradients of weights and biases of a projection at all steps."""
        rows, columns = grads.size(-1), inputs.size(-1)
        of_weight, of_bias = grads.new_empty(rows, columns), grads.new_empty(rows)
        steps = grads.size(0) * grads.size(1)
        function(f"input_gradient_{DTYPES[grads.dtype]}")(
            *map(ctypes.c_int64, (torch.get_num_threads(), rows, columns, steps, rows)),
            *map(pointer, (grads, inputs, of_weight, of_bias)),
        )
        return of_weight, of_bias

    def _attention(self, **gradients: Tensor | None) -> Attention:
        inputs = self.inputs
        tensors = {
            "lengths": self.loop.lengths,
            "keys": inputs.keys,
            "values": inputs.values,
            "weight": inputs.query_weight,
            "bias": inputs.query_bias,
            "v": inputs.v,
            "queries": self.queries,
            "weights": self.weights,
            "contexts": self.contexts,
            **gradients,
        }
        return Attention(
            inputs.values.size(1),
            inputs.embedded.size(1),
            inputs.keys.size(2),
            inputs.values.size(2),
            **{name: address(tensor) for name, tensor in tensors.items()},
        )

    def _decoder(
        self,
        attention: Attention,
        grad_output: Tensor | None = None,
        grad_fed: Tensor | None = None,
        of_fed: Tensor | None = None,
        **states: Sequence[Tensor | None],
    ) -> Decoder:
        inputs, weight = self.inputs, self.inputs.readout_weight
        layers = [self._layer(index, **states) for index in range(self.depth)]
        layers[-1].layer.grads = Pointers(address(grad_output))
        return Decoder(
            len(inputs.embedded),
            torch.get_num_threads(),
            self.depth,
            attention,
            (DecoderLayer * self.depth)(*layers),
            0 if weight is None else weight.size(0),
            0 if weight is None else weight.size(1),
            *map(address, (weight, inputs.fed, grad_fed, of_fed, self.readouts)),
        )

    def _layer(self, index: int, **states: Sequence[Tensor | None]) -> DecoderLayer:
        w_ih, w_hh, _, b_hh = self.inputs.layers[index]
        known = 0 if index else self.embedding_dim
        hidden, first = w_hh.size(1), self.inputs.state
        pointers = {
            "states": [part[index] if part[index].numel() else None for part in self.states],
            **{
                name: [None if part is None else part[index] for part in parts]
                for name, parts in {"first": first, **states}.items()
            },
        }
        layer = Layer(
            hidden,
            1,
            int(self.keep),
            address(w_hh),
            address(b_hh[2 * hidden :]) if self.loop.kernel == RESET_AFTER else None,
            address(self.gates[index]),
            address(self.extra[index]),
            **{name: Pointers(*map(address, values)) for name, values in pointers.items()},
        )
        mask = self.loop.masks[index - 1] if index and self.loop.masks else None
        size = w_ih.size(1)
        return DecoderLayer(layer, size - known, size, address(w_ih[:, known:]), address(mask))

    def _call(self, name: str, decoder: Decoder) -> None:
        dtype = DTYPES[self.inputs.embedded.dtype]
        function(f"{self.loop.kernel}_decoder_{name}_{dtype}")(ctypes.byref(decoder))


def _gate_inputs(kernel: str, embedded: Tensor, weights: Sequence[Tensor], layer: int) -> Tensor:
    """Return the part of the gates' pre-activations that is known before the loop."""
    w_ih, w_hh, b_ih, b_hh = weights
    bias, size = b_ih + b_hh, w_hh.size(1)
    if kernel == RESET_AFTER:  # the bias of n is inside its product with the reset gate
        bias[2 * size :] = b_ih[2 * size :]
    if layer:
        return bias.repeat(*embedded.shape[:2], 1)
    return linear_nograd(embedded, w_ih[:, : embedded.size(2)], bias)


def _shifted(first: Tensor, sequence: Tensor) -> Tensor:
    """Return what was before each step: `first`, `(batch, features)`, before the first one."""
    return torch.cat([first.unsqueeze(1), sequence[:, :-1]], 1)
