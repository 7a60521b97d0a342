"""All steps of a layer without connections between units by a compiled kernel, and their gradient.

The input is projected some steps at a time while the recurrence runs. Gates and states are stored
for the backward pass; the gradients of the projected input replace the gates.
"""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from rnn_lab.nn.functional.once_differentiable import once_differentiable
from rnn_lab.nn.functional.padding import PaddingInfo
from rnn_lab.nn.native.library import Batch, Inputs, Sequences, function
from rnn_lab.nn.native.recurrence import (
    DTYPES,
    address,
    count_steps,
    empty_like_sequences,
    pointer,
    readable_sequences,
    sequences,
)


class _Arguments(ctypes.Structure):
    """The structure `Scan` in scan.h."""

    _fields_ = [
        ("units", ctypes.c_int64),
        ("threads", ctypes.c_int64),
        ("factor", ctypes.c_double),
        *(
            (name, ctypes.c_void_p)
            for name in (
                *("weights", "first_step", "first", "gates", "states", "output", "last"),
                *("grad_last", "of_weights", "of_first_step", "of_first"),
            )
        ),
        ("grads", Sequences),
        ("inputs", Inputs),
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
        windows: Whether the projection also reads the step before, which is zero at the first step.
    """

    kernel: str
    padding: PaddingInfo | None
    has_output: bool = False
    reads_x: bool = False
    factor: float = 1.0
    windows: bool = False

    def __call__(
        self,
        x: Tensor,
        state: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        unit_weights: Tensor | None = None,
        first_step: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Process all steps.

        Args:
            x: Right-padded sequences, `(time, batch, input_size)`. They are read in place
                also where the batch comes first in memory.
            state: Initial state, `(batch, units)`.
            weight: Weights of the projection, `(inputs * units, input_size)`; with windows
                `(inputs * units, 2 * input_size)`, first those of the step before.
            bias: Its biases, `(inputs * units,)`; None: zero.
            unit_weights: Other weights of the cell, `(weights * units,)`.
            first_step: Added to the projected input of the first step, `(batch, inputs * units)`.

        Returns:
            The output, `(time, batch, units)`, zero on padding, and the state after the last real
            step of each sequence.
        """
        tensors = (x, state, weight, bias, unit_weights, first_step)
        keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
        return _CompiledScan.apply(self, keep, *tensors)


@dataclass(frozen=True)
class _Parts:
    """What a scan reads.

    Attributes:
        x: Sequences, `(time, batch, input_size)`.
        first: Initial state, `(batch, units)`.
        weight: Weights of the projection.
        bias: Its biases; None: zero.
        unit_weights: Other weights of the cell.
        first_step: Added to the projected input of the first step.
    """

    x: Tensor
    first: Tensor
    weight: Tensor
    bias: Tensor | None
    unit_weights: Tensor | None
    first_step: Tensor | None

    @classmethod
    def readable(cls, x: Tensor, *others: Tensor | None) -> "_Parts":
        """Copy what the kernels cannot read where it is."""
        first, weight, bias, unit_weights, first_step = (
            tensor if tensor is None else tensor.contiguous() for tensor in others
        )
        assert first is not None
        assert weight is not None
        return cls(readable_sequences(x), first, weight, bias, unit_weights, first_step)

    def forward(self, scan: Scan, keep: bool) -> tuple[Tensor, ...]:
        """Compute all steps.

        Args:
            scan: What to compute.
            keep: Whether there will be a backward pass.

        Returns:
            The output, the final state, and for the backward pass all states and the gates, which
            are empty without one.
        """
        x, first = self.x, self.first
        shape, steps = (*x.shape[:2], first.size(1)), count_steps(x, scan.padding) if keep else 0
        output, last = x.new_empty(shape), torch.empty_like(first)
        states = x.new_empty(shape if keep else 0) if scan.has_output else output
        gates = x.new_empty(steps, len(self.weight))
        tensors = {"output": output, "last": last, "gates": gates, "states": states}
        self.call(scan, "forward", {name: t for name, t in tensors.items() if t.numel()})
        return output, last, states, gates

    def backward(
        self,
        scan: Scan,
        states: Tensor,
        gates: Tensor,
        grad: Tensor | None,
        grad_last: Tensor | None,
        needs_x: bool,
    ) -> tuple[Tensor | None, ...]:
        """Compute the gradients of all parts; that of the projected input replaces the gates.

        Args:
            scan: What to compute.
            states: States after all steps.
            gates: Gates of all steps.
            grad: Gradient of the output; None: zero.
            grad_last: Gradient of the final state; None: zero.
            needs_x: Whether the gradient of the sequences is needed.
        """
        unit_weights, first_step = self.unit_weights, self.first_step
        gradients = {
            "of_first": torch.empty_like(self.first),
            "of_weights": None,
            "of_first_step": None if first_step is None else torch.empty_like(first_step),
        }
        if unit_weights is not None:  # of each sequence, so that threads do not share the sums
            gradients["of_weights"] = self.x.new_zeros(self.x.size(1), *unit_weights.shape)
        grad_last = None if grad_last is None else grad_last.contiguous()
        read = {"gates": gates, "states": states, "grad_last": grad_last}
        of_x = empty_like_sequences(self.x) if needs_x else None
        grad = None if grad is None else readable_sequences(grad)
        self.call(scan, "backward", {**read, **gradients}, grad, of_x)
        of_weight = torch.empty_like(self.weight)
        of_bias = None if self.bias is None else torch.empty_like(self.bias)
        results = ctypes.c_int64(len(self.weight)), pointer(of_weight), pointer(of_bias)
        self.call(scan, "weight_gradients", {"gates": gates}, None, None, *results)
        of_first, of_unit_weights, of_first_step = gradients.values()
        of_unit_weights = None if of_unit_weights is None else of_unit_weights.sum(0)
        return of_x, of_first, of_weight, of_bias, of_unit_weights, of_first_step

    def call(
        self,
        scan: Scan,
        name: str,
        tensors: Mapping[str, Tensor | None],
        grad: Tensor | None = None,
        of_x: Tensor | None = None,
        *arguments: Any,
    ) -> None:
        """Call a function of the kernel.

        Args:
            scan: What to compute.
            name: Name of the function.
            tensors: Fields of the structure `Scan` in scan.h.
            grad: Gradient of the output.
            of_x: Where to write the gradient of the sequences.
            arguments: Further arguments of the function.
        """
        lengths = None if scan.padding is None else scan.padding.lengths
        batch = Batch(*self.x.shape[:2], address(lengths), 0)
        windows = int(scan.windows)
        inputs = Inputs(self.x.size(2), windows, address(self.weight), address(self.bias))
        inputs.x = sequences(self.x)
        if of_x is not None:
            inputs.of_x = sequences(of_x)
        read = {"weights": self.unit_weights, "first_step": self.first_step, "first": self.first}
        structure = _Arguments(
            self.first.size(1),
            torch.get_num_threads(),
            scan.factor,
            **{key: address(tensor) for key, tensor in {**read, **tensors}.items()},
            inputs=inputs,
        )
        if grad is not None:
            structure.grads = sequences(grad)
        kernel = "scan" if name == "weight_gradients" else scan.kernel
        call = function(f"{kernel}_{name}_{DTYPES[self.x.dtype]}")
        call(ctypes.byref(batch), ctypes.byref(structure), *arguments)


class _CompiledScan(Function):
    @staticmethod
    def forward(
        ctx: Any, scan: Scan, keep: bool, x: Tensor, *others: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        output, last, states, gates = _Parts.readable(x, *others).forward(scan, keep)
        ctx.scan, ctx.has_gates = scan, True
        ctx.set_materialize_grads(False)
        if keep:
            ctx.save_for_backward(x, *others, states, gates)
        return output, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, grad_last: Tensor | None) -> tuple[Any, ...]:
        *tensors, states, gates = ctx.saved_tensors
        parts = _Parts.readable(*tensors)
        if not ctx.has_gates:  # a backward pass before this one, with retain_graph=True
            *_, states, gates = parts.forward(ctx.scan, True)
        ctx.has_gates = False  # the gradient replaces it
        needs_x = ctx.needs_input_grad[2]
        return None, None, *parts.backward(ctx.scan, states, gates, grad, grad_last, needs_x)
