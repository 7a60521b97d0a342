"""All steps of a layer without connections between units by a compiled kernel, and their gradient.

The gates are computed from the projected input while the recurrence runs, in both passes, so that
only the projected input and the states are stored.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from rnn_lab.nn.functional.linear import linear_nograd, weight_gradient
from rnn_lab.nn.functional.once_differentiable import once_differentiable
from rnn_lab.nn.functional.padding import PaddingInfo
from rnn_lab.nn.native.library import Batch, function
from rnn_lab.nn.native.recurrence import DTYPES, FEW_INPUTS, is_batch_first


class _Arguments(ctypes.Structure):
    """The structure `Scan` in scan.h."""

    _fields_ = [
        ("units", ctypes.c_int64),
        ("threads", ctypes.c_int64),
        ("factor", ctypes.c_double),
        *(
            (name, ctypes.c_void_p)
            for name in (
                *("weights", "inputs", "x", "first", "states", "output", "last"),
                *("grads", "grad_last", "of_inputs", "of_x", "of_weights", "of_first"),
            )
        ),
    ]


@dataclass(frozen=True)
class Scan:
    """What a compiled kernel computes.

    Attributes:
        kernel: Name of the kernel, such as `min_gru`.
        padding: Real steps of the sequences; None: no padding.
        has_output: Whether the output differs from the state.
        reads_x: Whether units also read the input itself, one value each.
        factor: A constant of the cell.
    """

    kernel: str
    padding: PaddingInfo | None
    has_output: bool = False
    reads_x: bool = False
    factor: float = 1.0

    def __call__(
        self,
        x: Tensor,
        state: Tensor,
        weight: Tensor,
        bias: Tensor,
        unit_weights: Tensor | None = None,
        first_step: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Process all steps.

        Args:
            x: Right-padded sequences, `(time, batch, input_size)`. They are read in place
                also where the batch comes first in memory.
            state: Initial state, `(batch, units)`.
            weight: Weights of the projection, `(inputs * units, input_size)`.
            bias: Its biases, `(inputs * units,)`.
            unit_weights: Other weights of the cell, `(weights * units,)`.
            first_step: Added to the projected input of the first step, `(batch, inputs * units)`.

        Returns:
            The output, `(time, batch, units)`, zero on padding, and the state after the last real
            step of each sequence.
        """
        tensors = (x, state, weight, bias, unit_weights, first_step)
        keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
        return _CompiledScan.apply(self, keep, *tensors)

    def run(self, name: str, first: Tensor, layout: "_Layout", **tensors: Tensor | None) -> None:
        """Call a function of the kernel.

        Args:
            name: `forward` or `backward`.
            first: Initial state, `(batch, units)`.
            layout: Order of the real steps.
            tensors: Other fields of the structure `Scan` in scan.h; None: a null pointer.
        """
        lengths = None if self.padding is None else self.padding.lengths
        batch = Batch(layout.time, layout.batch, _address(lengths), _address(layout.offsets), 0)
        pointers = {key: _address(tensor) for key, tensor in {"first": first, **tensors}.items()}
        threads = torch.get_num_threads()
        arguments = _Arguments(first.size(1), threads, self.factor, **pointers)
        call = function(f"{self.kernel}_{name}_{DTYPES[first.dtype]}")
        call(ctypes.byref(batch), ctypes.byref(arguments))


@dataclass(frozen=True)
class _Layout:
    """Where the real steps of sequences `(time, batch, features)` are.

    Attributes:
        time: Number of steps of the padded sequences.
        batch: Number of sequences.
        batch_first: Whether a sequence's steps follow each other in memory.
        index: Positions in memory of all real steps; None: all steps are real.
        offsets: Number of real steps before each sequence's first one, where its steps follow each
            other among the real steps; None: the first steps of all sequences come first.
    """

    time: int
    batch: int
    batch_first: bool
    index: Tensor | None
    offsets: Tensor | None

    @classmethod
    def of(cls, x: Tensor, padding: PaddingInfo | None) -> "_Layout":
        (time, batch), batch_first = x.shape[:2], is_batch_first(x)
        if padding is not None:
            index = padding.real_index_batch_first if batch_first else padding.real_index
            return cls(time, batch, batch_first, index, padding.offsets)
        offsets = torch.arange(batch) * time if batch_first else None
        return cls(time, batch, batch_first, None, offsets)

    @property
    def first_steps(self) -> Tensor | slice:
        """Index of the first step of each sequence among all real steps."""
        return slice(0, self.batch) if self.offsets is None else self.offsets

    def pack(self, x: Tensor) -> Tensor:
        """Return all real steps, `(steps, features)`."""
        steps = (x.transpose(0, 1) if self.batch_first else x).flatten(0, 1)
        return steps.contiguous() if self.index is None else steps.index_select(0, self.index)

    def unpack(self, steps: Tensor) -> Tensor:
        """Return sequences `(time, batch, features)` of all real steps, zero on padding."""
        if self.index is not None:
            padded = steps.new_zeros(self.time * self.batch, steps.size(1))
            steps = padded.index_copy_(0, self.index, steps)
        if self.batch_first:
            return steps.view(self.batch, self.time, -1).transpose(0, 1)
        return steps.view(self.time, self.batch, -1)


class _CompiledScan(Function):
    @staticmethod
    def forward(
        ctx: Any,
        scan: Scan,
        keep: bool,
        x: Tensor,
        state: Tensor,
        weight: Tensor,
        bias: Tensor,
        unit_weights: Tensor | None,
        first_step: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        layout, state = _Layout.of(x, scan.padding), state.contiguous()
        inputs = layout.pack(x)
        projected = _project(layout, inputs, weight, bias, first_step)
        new = [x.new_empty(*x.shape[:2], state.size(1)) for _ in range(1 + scan.has_output)]
        output, states, last = new[0], new[-1], torch.empty_like(state)
        read = {
            "weights": None if unit_weights is None else unit_weights.contiguous(),
            "inputs": projected,
            "x": inputs if scan.reads_x else None,
        }
        scan.run("forward", state, layout, **read, states=states, output=output, last=last)
        ctx.scan, ctx.layout, ctx.has_projected = scan, layout, True
        ctx.set_materialize_grads(False)
        if keep:
            ctx.save_for_backward(
                *(inputs, state, states, weight, bias, first_step), *read.values()
            )
        return output, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, grad_last: Tensor | None) -> tuple[Any, ...]:
        inputs, state, states, weight, bias, first_step = ctx.saved_tensors[:6]
        unit_weights, projected, x = ctx.saved_tensors[6:]
        layout = ctx.layout
        if not ctx.has_projected:  # a backward pass before this one, with retain_graph=True
            projected = _project(layout, inputs, weight, bias, first_step)
        ctx.has_projected = False  # the gradient replaces it
        gradients = {
            "of_inputs": projected,
            "of_first": torch.empty_like(state),
            "of_x": None if x is None else torch.empty_like(x),
            "of_weights": None,
        }
        if unit_weights is not None:  # of each sequence, so that threads do not share the sums
            gradients["of_weights"] = state.new_zeros(layout.batch, *unit_weights.shape)
        given = {
            "grads": None if grad is None else grad.contiguous(),
            "grad_last": None if grad_last is None else grad_last.contiguous(),
        }
        read = {"weights": unit_weights, "inputs": projected, "x": x, "states": states}
        ctx.scan.run("backward", state, layout, **read, **given, **gradients)
        of_projected, of_state, of_x, of_weights = gradients.values()
        if ctx.needs_input_grad[2]:
            of_x = layout.unpack(_sum(of_x, linear_nograd(of_projected, weight.t())))
        return (
            *(None, None, of_x, of_state, *_input_gradient(of_projected, inputs)),
            None if of_weights is None else of_weights.sum(0),
            None if first_step is None else of_projected[layout.first_steps],
        )


def _project(
    layout: _Layout, inputs: Tensor, weight: Tensor, bias: Tensor, first_step: Tensor | None
) -> Tensor:
    projected = linear_nograd(inputs, weight, bias)
    if first_step is not None:
        projected[layout.first_steps] += first_step
    return projected


def _sum(a: Tensor | None, b: Tensor) -> Tensor:
    return b if a is None else a.add_(b)


def _input_gradient(grads: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the gradients of the weights and biases of a projection."""
    (steps, rows), columns = grads.shape, inputs.size(1)
    if columns < FEW_INPUTS:
        return weight_gradient(grads, inputs), grads.sum(0)
    of_weight, of_bias = grads.new_empty(rows, columns), grads.new_empty(rows)
    sizes = map(ctypes.c_int64, (torch.get_num_threads(), rows, columns, steps, rows))
    pointers = (ctypes.c_void_p(t.data_ptr()) for t in (grads, inputs, of_weight, of_bias))
    function(f"input_gradient_{DTYPES[grads.dtype]}")(*sizes, *pointers)
    return of_weight, of_bias


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
