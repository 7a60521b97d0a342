"""What cells have in common: one step, split into the product of the input and the update."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from rnn_lab.nn.functional.linear import linear
from rnn_lab.nn.functional.state import Parts, State, parts, whole, zoneout


class Cell(nn.Module, ABC):
    """One step of one recurrent layer.

    Args:
        input_size: Features of a step.
        hidden_size: Units.

    Attributes:
        droppable: The parameters that weight drop works on.
        kept: Parts of the state; the first is the output.
    """

    droppable: ClassVar[tuple[str, ...]] = ("weight_hh",)
    kept: ClassVar[int] = 1

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size

    def forward(self, x: Tensor, state: State = None) -> State:
        """Take a step.

        Args:
            x: Its input, `(batch, input_size)`.
            state: What came before, `(batch, hidden_size)` or a tuple of these; None: zeros.

        Returns:
            The state after it, like `state`; its first or only part is the output.
        """
        if state is None:
            wide = x.new_zeros((), dtype=torch.promote_types(x.dtype, torch.float32))
            state = whole(wide.new_zeros(len(x), self.hidden_size) for _ in range(self.kept))
        return whole(self.update(self.project(x), parts(state)))

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """Give the share of the input in a step or in many, `(..., input_size)`."""

    @abstractmethod
    def update(self, projected: Tensor, state: Parts) -> Parts:
        """Take a step with the share of its input, `(batch, ...)`, and the state before it."""

    def walk(self, x: Tensor, state: Parts) -> Parts | None:
        """Take all steps by the kernel of the cell; None: it has none, `update` takes each.

        Args:
            x: The input, `(time, batch, input_size)`.
            state: What came before, each `(batch, hidden_size)`.

        Returns:
            The states after all steps, each `(time, batch, hidden_size)`.
        """
        return None

    def zoneout(self, before: Parts, after: Parts, p: float) -> Parts:
        """Keep units as they were before a step, see `rnn_lab.nn.functional.state.zoneout`."""
        return zoneout(before, after, p, self.training)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


class GatedCell(Cell):
    """A cell of gates over input and state, with torch's parameters."""

    gates: ClassVar[int]

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self._add_weights()
        self.bias_ih = nn.Parameter(torch.empty(self.gates * hidden_size))
        self.bias_hh = nn.Parameter(torch.empty(self.gates * hidden_size))
        self.reset_parameters()

    def _add_weights(self) -> None:
        rows = self.gates * self.hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, self.input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, self.hidden_size))

    def reset_parameters(self) -> None:
        """Start with orthogonal recurrent weights, Glorot's for the input, biases at zero."""
        for gate in self.weight_ih.detach().split(self.hidden_size):
            nn.init.xavier_uniform_(gate)
        for gate in self.weight_hh.detach().split(self.hidden_size):
            nn.init.orthogonal_(gate)
        for name, parameter in self.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)

    def project(self, x: Tensor) -> Tensor:
        return linear(x, self.weight_ih, self.bias_ih).to(self.bias_ih.dtype)

    def recur(self, h: Tensor) -> Tensor:
        """Multiply the output before by the recurrent weights, in its own type under autocast."""
        return linear(h, self.weight_hh, self.bias_hh).to(h.dtype)
