"""All steps of a recurrent layer in one direction by a compiled kernel, and their gradient."""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from rnn_lab.nn.functional.padding import PaddingInfo
from rnn_lab.nn.functional.precision import autocast_dtype
from rnn_lab.nn.functional.state import LayerState
from rnn_lab.nn.native.library import Batch, Inputs, Layer, Pointers, Sequences, function
from rnn_lab.nn.native.zoneout import Zoneout

DTYPES = {torch.float32: "float32", torch.float64: "float64"}
WITH_EXTRA = {"gru", "slstm"}  # their backward pass needs one more value of each unit and step
WITHOUT_GATES = {"rnn"}  # its backward pass needs the states alone
WITH_PEEPHOLES = "peephole_lstm"  # its gradient needs the cell state before zoneout
RESET_AFTER = "gru"  # its reset gate applies to the projected state of n, with a bias of its own
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
        zoneout: Zoneout; None: there is none.
    """

    kernel: str
    padding: PaddingInfo | None
    backwards: bool
    plain: Plain | None
    run: "type[Run]"
    zoneout: Zoneout | None = None

    @property
    def has_gates(self) -> bool:
        """Whether the backward pass reads the gates."""
        return self.kernel not in WITHOUT_GATES or self.zoneout is not None

    @property
    def has_extra(self) -> bool:
        """Whether the backward pass needs one more value of each unit and step."""
        with_peepholes = self.kernel == WITH_PEEPHOLES and self.zoneout is not None
        return self.kernel in WITH_EXTRA or with_peepholes

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
            ctx.save_for_backward(*tensors, run.gates, run.extra, *run.states)
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
            gates, extra, *states = saved[count:]
            run = recurrence.run(recurrence, True, *_readable(*parts), gates, extra, states)
            ctx.has_gates = False
        else:  # a backward pass before this one, with retain_graph=True, has replaced them
            run = recurrence.run.start(recurrence, True, *parts)
            run.forward()
        return (None,) * 3 + run.backward(grads, needed)


Parts = tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]


def _split(tensors: Sequence[Tensor], num_states: int) -> Parts:
    """Split the inputs of the function into the sequences, the initial state and the weights."""
    return tensors[0], tuple(tensors[1 : 1 + num_states]), tuple(tensors[1 + num_states :])


def _readable(x: Tensor, first: LayerState, weights: Sequence[Tensor]) -> Parts:
    """Copy what the kernels cannot read where it is."""
    return (
        readable_sequences(x),
        tuple(t.contiguous() for t in first),
        tuple(t.contiguous() for t in weights),
    )


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
        x: Sequences, `(time, batch, input_size)`, which the kernel reads in place.
        first: Initial state, each tensor `(batch, hidden_size)`.
        weights: Weights of the layer.
        gates: Gates, then the gradients of the projected inputs, `(steps, gates * hidden_size)` for
            all real steps; empty if no gradient is needed, or before the backward pass if this
            needs no gates.
        extra: One more value of each unit and step, such as the projected state of a GRU's gate n,
            then its gradient, `(steps, hidden_size)`; empty for recurrences without it, and if no
            gradient is needed.
        states: States after all steps, `(time, batch, hidden_size)`, the output first; those that
            only a gradient needs are omitted if there is none.
    """

    recurrence: Recurrence
    keep: bool
    x: Tensor
    first: LayerState
    weights: tuple[Tensor, ...]
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
        """Allocate the memory."""
        x, first, weights = _readable(x, first, weights)
        steps = count_steps(x, recurrence.padding) if keep else 0
        gates, extra = cls.memory(recurrence, steps, weights)
        shape = *x.shape[:2], first[0].size(1)
        states = [x.new_empty(shape) for _ in (first if keep else first[:1])]
        return cls(recurrence, keep, x, first, weights, gates, extra, states)

    @staticmethod
    def memory(
        recurrence: Recurrence, steps: int, weights: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        """Return memory for what the backward pass needs of some steps."""
        rows, size = weights[1].shape
        gates, extra = steps * recurrence.has_gates, steps * recurrence.has_extra
        return weights[1].new_empty(gates, rows), weights[1].new_empty(extra, size)

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
        of_output, *of_last = grads
        of_last = [None if grad is None else grad.contiguous() for grad in of_last]
        of_first = [torch.empty_like(part) for part in self.first]
        of_output = None if of_output is None else readable_sequences(of_output)
        of_x = empty_like_sequences(self.x) if needed[0] else None
        if not self.recurrence.has_gates:
            self.gates = self.x.new_empty(
                count_steps(self.x, self.recurrence.padding), len(self.weights[1])
            )
        batch = self._batch()
        layer = self.layer(grads=[of_output], grad_last=of_last, grad_first=of_first)
        if of_output is not None:
            layer.grad_time, layer.grad_batch = of_output.stride()[:2]
        if of_x is not None:
            layer.inputs.of_x = sequences(of_x)
        self.call(f"{self.recurrence.kernel}_backward", batch, layer)
        return (of_x, *of_first, *self.weight_gradients(batch, layer))

    def weight_gradients(self, batch: Batch, layer: Layer) -> list[Tensor]:
        of_weights = [torch.empty_like(weight) for weight in self.weights]
        of_w_ih, of_w_hh, of_b_ih, of_b_hh, *of_others = of_weights
        (rows, size), gates = of_w_hh.shape, self.gates
        blocks = [(slice(0, rows), gates, gates)]
        if self.recurrence.kernel == RESET_AFTER:
            n = slice(2 * size, rows)
            blocks = [(slice(0, 2 * size), gates, gates), (n, gates[:, n], self.extra)]
        for block, values, state_values in blocks:
            of_matrices, of_biases = (
                (of_w_ih[block], of_w_hh[block]),
                (of_b_ih[block], of_b_hh[block]),
            )
            self.call_weight_gradients(batch, layer, values, state_values, of_matrices, of_biases)
        for gradient in of_others:
            self.call(f"{self.recurrence.kernel}_parameters", batch, layer, pointer(gradient))
        return of_weights

    def call_weight_gradients(
        self,
        batch: Batch,
        layer: Layer,
        grads: Tensor,
        state_grads: Tensor,
        of_matrices: Sequence[Tensor],
        of_biases: Sequence[Tensor | None],
    ) -> None:
        """Compute gradients of some rows of both weight matrices, and of their biases.

        Args:
            batch: Sizes of the batch.
            layer: Memory of the layer.
            grads: Gradients of the projected inputs, `(steps, rows or more)`.
            state_grads: Gradients of the projected states, likewise.
            of_matrices: Where to write the gradients of these rows, `(rows, ...)`.
            of_biases: Where to write those of the biases, `(rows,)`; None: not needed.
        """
        values = (grads, state_grads)
        strided = [a for v in values for a in (pointer(v), ctypes.c_int64(v.stride(0)))]
        rows = ctypes.c_int64(len(of_matrices[0]))
        results = map(pointer, (*of_matrices, *of_biases))
        self.call("weight_gradients", batch, layer, rows, *strided, *results)

    def _batch(self) -> Batch:
        padding = self.recurrence.padding
        lengths = None if padding is None else padding.lengths
        return Batch(*self.x.shape[:2], address(lengths), int(self.recurrence.backwards))

    def layer(self, **tensors: Sequence[Tensor | None]) -> Layer:
        pointers = {"states": self.states, "first": self.first, **tensors}
        inputs = Inputs(self.x.size(2), 0, address(self.weights[0]), address(self.bias))
        inputs.x = sequences(self.x)
        layer = Layer(
            self.weights[1].size(1),
            torch.get_num_threads(),
            int(self.keep),
            address(self.weights[1]),
            address(self.parameters),
            address(self.gates),
            address(self.extra),
            **{name: Pointers(*map(address, values)) for name, values in pointers.items()},
            inputs=inputs,
        )
        if self.recurrence.zoneout is not None:
            layer.zoneout = self.recurrence.zoneout.p
            masks = self.recurrence.zoneout.masks or ()
            layer.masks = Pointers(*map(address, masks))
            layer.mask_step = masks[0].stride(0) if masks else 0
        return layer

    @cached_property
    def bias(self) -> Tensor | None:
        """Return what is added to the projected input."""
        _, w_hh, b_ih, b_hh, *_ = self.weights
        bias, size = b_ih + b_hh, w_hh.size(1)
        if self.recurrence.kernel == RESET_AFTER:
            bias[2 * size :] = b_ih[2 * size :]
        return bias

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


def readable_sequences(x: Tensor) -> Tensor:
    """Return sequences `(time, batch, features)` whose features follow each other in memory.

    What is the same for all steps or sequences, such as the gradient of a sum, is copied once.
    """
    if x.stride(2) == 1:
        return x
    time, batch = (slice(1) if stride == 0 else slice(None) for stride in x.stride()[:2])
    return x[time, batch].contiguous().expand_as(x)


def count_steps(x: Tensor, padding: PaddingInfo | None) -> int:
    """Return the number of real steps of sequences `(time, batch, features)`."""
    return x.size(0) * x.size(1) if padding is None else int(padding.lengths.sum())


def empty_like_sequences(x: Tensor) -> Tensor:
    """Return memory for sequences that lie in the same order as others."""
    if is_batch_first(x):
        return torch.empty_like(x.transpose(0, 1)).transpose(0, 1)
    return x.new_empty(x.shape)


def sequences(x: Tensor) -> Sequences:
    """Describe sequences `(time, batch, features)`, whose features follow each other in memory."""
    return Sequences(x.data_ptr(), *x.stride()[:2])


def address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(address(tensor))
