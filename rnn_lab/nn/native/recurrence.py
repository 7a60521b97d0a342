"""All steps of a recurrent layer in one direction by a compiled kernel, and their gradient."""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from rnn_lab.nn.functional.linear import linear_nograd, weight_gradient
from rnn_lab.nn.functional.padding import PaddingInfo
from rnn_lab.nn.functional.precision import autocast_dtype
from rnn_lab.nn.functional.state import LayerState
from rnn_lab.nn.native.library import Batch, Layer, Pointers, function

DTYPES = {torch.float32: "float32", torch.float64: "float64"}
WITH_EXTRA = {"gru", "slstm"}  # their backward pass needs one more value of each unit and step
RESET_AFTER = "gru"  # its reset gate applies to the projected state of n, with a bias of its own
FEW_INPUTS = 32  # with fewer, a gradient of input weights is faster by oneDNN
Plain = Callable[[Tensor, LayerState, Sequence[Tensor]], tuple[Tensor, LayerState]]


@dataclass(frozen=True)
class Recurrence:
    """What a compiled kernel computes.

    Attributes:
        kernel: Name of the kernel, such as `gru`.
        padding: Real steps of the sequences; None: no padding.
        backwards: Whether each sequence is read from its last real step to its first.
        plain: The same computation in PyTorch, which is differentiated for second derivatives;
            None: these are refused.
        run: Which memory the kernel reads and writes.
    """

    kernel: str
    padding: PaddingInfo | None
    backwards: bool
    plain: Plain | None
    run: "type[Run]"

    def __call__(
        self, x: Tensor, state: LayerState, weights: Sequence[Tensor]
    ) -> tuple[Tensor, LayerState]:
        """Process all steps.

        Args:
            x: Right-padded sequences, `(time, batch, input_size)`.
            state: Initial state, each tensor `(batch, hidden_size)`.
            weights: Input weights, recurrent weights, their biases, and other weights of the cell.

        Returns:
            The output, `(time, batch, hidden_size)`, zero on padding, and the state after the last
            real step of each sequence.
        """
        tensors = (x, *state, *weights)
        keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
        output, *last = _Recurrence.apply(self, keep, len(state), *tensors)
        return output, tuple(last)


def supports(kernel: str, *tensors: Tensor) -> bool:
    """Return whether there is a compiled kernel, and it supports these tensors here."""
    dtype = tensors[0].dtype
    return (
        dtype in DTYPES
        and function(f"{kernel}_forward_{DTYPES[dtype]}") is not None
        and all(_is_plain(tensor) and tensor.dtype == dtype for tensor in tensors)
        and autocast_dtype(tensors[0]) is None
        and tensors[0].numel() > 0
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not torch._C._are_functorch_transforms_active()
    )


def _is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor has memory of its own on the CPU, unlike most subclasses."""
    return tensor.device.type == "cpu" and type(tensor) in (Tensor, torch.nn.Parameter)


class _Recurrence(Function):
    @staticmethod
    def forward(
        ctx: Any, recurrence: Recurrence, keep: bool, num_states: int, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        run = recurrence.run.start(recurrence, keep, *_split(tensors, num_states))
        last = run.forward()
        ctx.recurrence, ctx.num_states, ctx.has_gates = recurrence, num_states, True
        ctx.set_materialize_grads(False)
        if keep:
            ctx.save_for_backward(*tensors, run.inputs, run.gates, run.extra, *run.states)
        return (run.states[0], *last)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        """Compute all gradients; the gates are replaced by their gradients in place."""
        needed = ctx.needs_input_grad[3:]
        count, recurrence, saved = len(needed), ctx.recurrence, ctx.saved_tensors
        parts = _split(saved[:count], ctx.num_states)
        if torch.is_grad_enabled():  # a graph of the gradient is requested
            return (None,) * 3 + _plain_gradient(recurrence, parts, needed, grads)
        if ctx.has_gates:
            inputs, gates, extra, *states = saved[count:]
            parts = _contiguous(*parts)
            run = recurrence.run(recurrence, True, *parts, inputs, gates, extra, states)
            ctx.has_gates = False
        else:  # a backward pass before this one, with retain_graph=True, has replaced them
            run = recurrence.run.start(recurrence, True, *parts)
            run.forward()
        return (None,) * 3 + run.backward(grads, needed)


Parts = tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]


def _split(tensors: Sequence[Tensor], num_states: int) -> Parts:
    """Split the inputs of the function into the sequences, the initial state and the weights."""
    return tensors[0], tuple(tensors[1 : 1 + num_states]), tuple(tensors[1 + num_states :])


def _contiguous(x: Tensor, first: LayerState, weights: Sequence[Tensor]) -> Parts:
    return x, tuple(t.contiguous() for t in first), tuple(t.contiguous() for t in weights)


def _plain_gradient(
    recurrence: Recurrence,
    parts: Parts,
    needed: Sequence[bool],
    grads: Sequence[Tensor | None],
) -> tuple[Tensor | None, ...]:
    """Compute the gradient with a graph of its own, by PyTorch."""
    if recurrence.plain is None:
        raise RuntimeError(
            f"the compiled kernel {recurrence.kernel} has no second derivative: create_graph=True, "
            "as for a gradient penalty, is not supported by this layer; use the layers of torch.nn"
        )
    x, first, weights = parts
    output, last = recurrence.plain(x, first, weights)
    pairs = [(y, g) for y, g in zip((output, *last), grads, strict=True) if g is not None]
    inputs = [t for t, need in zip((x, *first, *weights), needed, strict=True) if need]
    outputs, output_grads = zip(*pairs, strict=True)
    found = iter(
        torch.autograd.grad(outputs, inputs, output_grads, create_graph=True, allow_unused=True)
    )
    return tuple(next(found) if need else None for need in needed)


@dataclass
class Run:
    """One forward and backward pass, with the memory that the kernel reads and writes.

    Attributes:
        recurrence: What is computed.
        keep: Whether a gradient is needed.
        x: Sequences, `(time, batch, input_size)`.
        first: Initial state, each tensor `(batch, hidden_size)`.
        weights: Weights of the layer.
        inputs: Real steps of the sequences, `(steps, input_size)`: one sequence after the other if
            there is padding or `x` lies so in memory, otherwise time first.
        gates: Projected inputs, then gates, then their gradients, `(steps, gates * hidden_size)`.
        extra: One more value of each unit and step, such as the projected state of a GRU's gate n,
            then its gradient, `(steps, hidden_size)`; empty for cells without it, and if no
            gradient is needed.
        states: States after all steps, `(time, batch, hidden_size)`, the output first; those that
            only a gradient needs are omitted if there is none.
    """

    recurrence: Recurrence
    keep: bool
    x: Tensor
    first: LayerState
    weights: tuple[Tensor, ...]
    inputs: Tensor
    gates: Tensor
    extra: Tensor
    states: Sequence[Tensor]

    @classmethod
    def start(
        cls,
        recurrence: Recurrence,
        keep: bool,
        x: Tensor,
        first: LayerState,
        weights: Sequence[Tensor],
    ) -> "Run":
        """Project the input and allocate the memory."""
        x, first, weights = _contiguous(x, first, weights)
        inputs, size = _real_inputs(x, recurrence.padding), first[0].size(1)
        gates, extra = cls.project(recurrence, keep, inputs, weights)
        states = [x.new_empty(*x.shape[:2], size) for _ in (first if keep else first[:1])]
        return cls(recurrence, keep, x, first, weights, inputs, gates, extra, states)

    @staticmethod
    def project(
        recurrence: Recurrence, keep: bool, inputs: Tensor, weights: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        """Return the projected input, and memory for what else the backward pass needs."""
        w_ih, w_hh, b_ih, b_hh, *_ = weights
        size, bias = w_hh.size(1), b_ih + b_hh
        if recurrence.kernel == RESET_AFTER:
            bias[2 * size :] = b_ih[2 * size :]
        steps = len(inputs) if keep and recurrence.kernel in WITH_EXTRA else 0
        return linear_nograd(inputs, w_ih, bias), inputs.new_empty(steps, size)

    def forward(self) -> list[Tensor]:
        """Compute all steps; return the final state."""
        last = [torch.empty_like(part) for part in self.first]
        layer = self.layer(last=last)
        self.call(f"{self.recurrence.kernel}_forward", self._batch(), layer)
        return last

    def backward(
        self, grads: Sequence[Tensor | None], needed: Sequence[bool]
    ) -> tuple[Tensor | None, ...]:
        """Compute the gradients of the sequences, the initial state and the weights."""
        grads = [None if grad is None else grad.contiguous() for grad in grads]
        of_first = [torch.empty_like(part) for part in self.first]
        batch = self._batch()
        layer = self.layer(grads=grads[:1], grad_last=grads[1:], grad_first=of_first)
        self.call(f"{self.recurrence.kernel}_backward", batch, layer)
        of_x = self._input_gradient() if needed[0] else None
        return (of_x, *of_first, *self.weight_gradients(batch, layer))

    def _input_gradient(self) -> Tensor:
        of_x = linear_nograd(self.gates, self.weights[0].t())
        padding, batch_first = self.recurrence.padding, is_batch_first(self.x)
        time, batch, size = self.x.shape
        if padding is not None:
            index = padding.real_index_batch_first if batch_first else padding.real_index
            of_x = of_x.new_zeros(time * batch, size).index_copy_(0, index, of_x)
        if batch_first:
            return of_x.view(batch, time, size).transpose(0, 1)
        return of_x.view(time, batch, size)

    def weight_gradients(self, batch: Batch, layer: Layer) -> list[Tensor]:
        _, w_hh, b_ih, _, *others = self.weights
        rows, size = w_hh.shape
        of_b_ih, of_w_hh = torch.empty_like(b_ih), torch.empty_like(w_hh)
        of_w_ih = self.input_weight_gradient(layer, of_b_ih)
        of_b_hh = of_b_ih.clone()
        blocks = [(0, rows, self.gates)]
        if self.recurrence.kernel == RESET_AFTER:
            blocks = [(0, 2 * size, self.gates), (2 * size, size, self.extra)]
        for start, count, values in blocks:
            self.call(
                *("state_gradient", batch, layer),
                *map(ctypes.c_int64, (count, values.size(1))),
                *map(pointer, (values, of_w_hh[start:], of_b_hh[start:])),
            )
        of_others = [torch.empty_like(weight) for weight in others]
        for gradient in of_others:
            self.call(f"{self.recurrence.kernel}_parameters", batch, layer, pointer(gradient))
        return [of_w_ih, of_w_hh, of_b_ih, of_b_hh, *of_others]

    def input_weight_gradient(self, layer: Layer, of_bias: Tensor | None) -> Tensor:
        """Compute the gradient of the input weights, and that of their bias in `of_bias`."""
        of_weight = torch.empty_like(self.weights[0])
        rows, columns = of_weight.shape
        if columns < FEW_INPUTS:
            if of_bias is not None:
                torch.sum(self.gates, 0, out=of_bias)
            return weight_gradient(self.gates, self.inputs)
        self.call(
            "input_gradient",
            *map(ctypes.c_int64, (layer.threads, rows, columns, len(self.inputs), rows)),
            *map(pointer, (self.gates, self.inputs, of_weight, of_bias)),
        )
        return of_weight

    def _batch(self) -> Batch:
        time, batch = self.x.shape[:2]
        padding = self.recurrence.padding
        lengths, self._offsets = None, None  # an attribute, so that the memory stays
        if padding is not None:
            lengths, self._offsets = padding.lengths, padding.offsets
        elif is_batch_first(self.x):
            self._offsets = torch.arange(batch) * time
        backwards = int(self.recurrence.backwards)
        return Batch(time, batch, address(lengths), address(self._offsets), backwards)

    def layer(self, **tensors: Sequence[Tensor | None]) -> Layer:
        pointers = {"states": self.states, "first": self.first, **tensors}
        return Layer(
            self.weights[1].size(1),
            torch.get_num_threads(),
            int(self.keep),
            address(self.weights[1]),
            address(self.parameters),
            address(self.gates),
            address(self.extra),
            **{name: Pointers(*map(address, values)) for name, values in pointers.items()},
        )

    @cached_property
    def parameters(self) -> Tensor | None:
        """Return other weights that the kernel reads."""
        _, w_hh, _, b_hh, *others = self.weights
        if self.recurrence.kernel == RESET_AFTER:
            return b_hh[2 * w_hh.size(1) :]
        return others[0] if others else None

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function of the library; structures are passed by their address."""
        call = function(f"{name}_{DTYPES[self.x.dtype]}")
        call(*(ctypes.byref(a) if isinstance(a, ctypes.Structure) else a for a in arguments))


def is_batch_first(x: Tensor) -> bool:
    """Return whether sequences `(time, batch, features)` lie one after the other in memory."""
    return not x.is_contiguous() and x.transpose(0, 1).is_contiguous()


def _real_inputs(x: Tensor, padding: PaddingInfo | None) -> Tensor:
    """Return the real steps of sequences, `(steps, features)`."""
    batch_first = is_batch_first(x)
    inputs = (x.transpose(0, 1) if batch_first else x).flatten(0, 1)
    if padding is None:
        return inputs
    index = padding.real_index_batch_first if batch_first else padding.real_index
    return inputs.index_select(0, index)


def address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(address(tensor))
