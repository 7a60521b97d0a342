"""Base classes of recurrent cells: one time step, split into input projection and state update."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from rnn_lab.nn.functional.linear import linear
from rnn_lab.nn.functional.padding import PaddingInfo
from rnn_lab.nn.functional.state import LayerState, State, as_tuple, from_tuple, zoneout
from rnn_lab.nn.native.recurrence import Recurrence, Run, supports
from rnn_lab.nn.native.zoneout import Zoneout


class Cell(nn.Module, ABC):
    """One time step of one recurrent layer.

    Args:
        input_size: Number of input features.
        hidden_size: Number of units.

    Attributes:
        weight_drop_params: Names of the parameters that weight drop applies to.
        num_states: Number of state tensors; the first one is the output.
        native_kernel: Name of the compiled kernel of all steps, see `rnn_lab.nn.native`; empty if
            there is none. Subclasses with a step of their own do not inherit it.
        native_run: Which memory that kernel reads and writes.
    """

    weight_drop_params: ClassVar[tuple[str, ...]] = ("weight_hh",)
    num_states: ClassVar[int] = 1
    native_kernel: str = ""
    native_run: ClassVar[type[Run]] = Run

    def __init_subclass__(cls) -> None:
        """Use the kernel of a base class only if the step is that of the base class."""
        super().__init_subclass__()
        own = vars(cls)
        if "native_kernel" not in own and {"project", "update", "forward_sequence"} & own.keys():
            cls.native_kernel = ""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.build()

    def build(self) -> None:
        """Create the parameters that depend on the sizes alone."""

    def forward(self, x: Tensor, state: State = None) -> State:
        """Compute one step.

        Args:
            x: Input, `(batch, input_size)`.
            state: Previous state, `(batch, hidden_size)` or a tuple of these; None: zeros.

        Returns:
            The new state, shaped like `state`; its first or only tensor is the output.

        Raises:
            ValueError: If the state has a wrong shape.
        """
        if state is None:
            dtype = torch.promote_types(x.dtype, torch.float32)
            zeros = x.new_zeros(self.num_states, len(x), self.hidden_size, dtype=dtype)
            state = from_tuple(zeros.unbind(0))
        expected = [(len(x), self.hidden_size)] * self.num_states
        shapes = [tuple(part.shape) for part in as_tuple(state)]
        if shapes != expected:
            raise ValueError(f"the state must have the shapes {expected}, got {shapes}")
        return from_tuple(self.update(self.project(x), as_tuple(state)))

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """Project the input of one or many steps, `(..., input_size)`."""

    @abstractmethod
    def update(self, projected: Tensor, state: LayerState) -> LayerState:
        """Compute one step from the projected input, `(batch, ...)`, and the previous state."""

    def forward_sequence(self, x: Tensor, state: LayerState) -> LayerState | None:
        """Compute all steps by the cell's own kernel; None if it has none and `update` is used.

        Args:
            x: Input, `(time, batch, input_size)`.
            state: Initial state, each tensor `(batch, hidden_size)`.

        Returns:
            The states after all steps, each `(time, batch, hidden_size)`.
        """
        return None

    def has_native(self, x: Tensor, *state: Tensor) -> bool:
        """Return whether there is a compiled kernel for an input and a state like these."""
        return bool(self.native_kernel) and supports(
            self.native_kernel, x, *state, *self.parameters()
        )

    def native_sequence(
        self, x: Tensor, state: LayerState, padding: PaddingInfo | None
    ) -> tuple[Tensor, LayerState]:
        """Compute all steps by a compiled kernel, if `has_native` is true of these tensors.

        Args:
            x: Right-padded sequences, `(time, batch, input_size)`.
            state: Initial state, each tensor `(batch, hidden_size)`.
            padding: Real steps of the sequences; None: no padding.

        Returns:
            The output, `(time, batch, hidden_size)`, and the state after the last real step of each
            sequence.
        """
        return self._recur(x, state, padding, None)

    def native_zoneout_sequence(
        self, x: Tensor, state: LayerState, padding: PaddingInfo | None, p: float
    ) -> tuple[Tensor, LayerState]:
        """Compute the same with zoneout, if `has_native_zoneout` is true."""
        zoneout = self.draw_zoneout(len(x), state, p) if self.training else Zoneout(p)
        return self._recur(x, state, padding, zoneout)

    def has_native_zoneout(self) -> bool:
        """Return whether the compiled kernel computes what `zoneout` does."""
        own = type(self)
        return own.zoneout is Cell.zoneout and own.native_sequence is Cell.native_sequence

    def draw_zoneout(self, time: int, state: LayerState, p: float) -> Zoneout:
        """Draw which units keep their state in all steps, like one call of `zoneout` for each."""
        return Zoneout.draw(p, time, state)

    def _recur(
        self, x: Tensor, state: LayerState, padding: PaddingInfo | None, zoneout: Zoneout | None
    ) -> tuple[Tensor, LayerState]:
        recurrence = Recurrence(self.native_kernel, padding, False, None, self.native_run, zoneout)
        return recurrence(x, state, self.native_weights())

    def native_weights(self) -> list[Tensor]:
        """Return the weights that a compiled kernel reads, in the order of `Recurrence`.

        By default these are all parameters, in the order in which they were created.
        """
        return list(self.parameters())

    def zoneout(self, previous: LayerState, new: LayerState, p: float) -> LayerState:
        """Apply zoneout to one step, see `rnn_lab.nn.functional.state.zoneout`."""
        return zoneout(previous, new, p, self.training)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


class GatedCell(Cell):
    """A cell with gates computed from input and state; its parameters are named as in torch."""

    num_gates: ClassVar[int]

    def build(self) -> None:
        """Create weights and biases."""
        self._create_weights()
        self.bias_ih = nn.Parameter(torch.empty(self.num_gates * self.hidden_size))
        self.bias_hh = nn.Parameter(torch.empty(self.num_gates * self.hidden_size))
        self.reset_parameters()

    def _create_weights(self) -> None:
        size = self.num_gates * self.hidden_size
        self.weight_ih = nn.Parameter(torch.empty(size, self.input_size))
        self.weight_hh = nn.Parameter(torch.empty(size, self.hidden_size))

    def reset_parameters(self) -> None:
        """Initialize recurrent weights orthogonal, input weights Glorot uniform, biases zero."""
        for gate in self.weight_ih.detach().split(self.hidden_size):
            nn.init.xavier_uniform_(gate)
        for gate in self.weight_hh.detach().split(self.hidden_size):
            nn.init.orthogonal_(gate)
        for name, parameter in self.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)

    def project(self, x: Tensor) -> Tensor:
        return linear(x, self.weight_ih, self.bias_ih).to(self.bias_ih.dtype)

    def project_state(self, h: Tensor) -> Tensor:
        """Apply the recurrent weights to the previous output; the result has its dtype."""
        return linear(h, self.weight_hh, self.bias_hh).to(h.dtype)
