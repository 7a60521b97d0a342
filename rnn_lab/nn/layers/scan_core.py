"""What layers with a linear recurrence share: a sequence is read by one parallel scan."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from rnn_lab.nn.functional.linear import linear
from rnn_lab.nn.functional.padding import Rows
from rnn_lab.nn.functional.scan import blend
from rnn_lab.nn.functional.state import Parts
from rnn_lab.nn.layers.stack import Core


class ScanCore(Core):
    """A layer whose state is linear in itself: one step is a row of one step."""

    def step(self, x: Tensor, state: Parts) -> tuple[Tensor, Parts]:
        """Read one step, see `Core`."""
        output, state = self(x.unsqueeze(0), state, None)
        return output.squeeze(0), state

    def moving(self, like: Tensor) -> Tensor | float:
        """How far units of the state move, by `zoneout`: not at all or all the way in training."""
        if not self.training:
            return 1 - self.zoneout
        return (torch.rand_like(like) >= self.zoneout).to(like)

    def held(self, stays: Tensor) -> Tensor:
        """Let units of a state stay as they are, by `zoneout`, of which `stays` stays anyway."""
        return 1 - self.moving(stays) * (1 - stays) if self.zoneout else stays


class BlendCore(ScanCore):
    """A layer whose state moves towards what a gate lets in: `h' = a h + (1 - a) x`."""

    droppable = ("weight",)
    blocks: ClassVar[int]

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.weight = nn.Parameter(torch.empty(self.blocks * hidden_size, input_size))
        self.bias = nn.Parameter(torch.empty(self.blocks * hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and biases as a linear layer of torch does."""
        bound = self.input_size**-0.5
        for parameter in (self.weight, self.bias):
            nn.init.uniform_(parameter, -bound, bound)

    @abstractmethod
    def gates(self, products: Tensor) -> tuple[Tensor, Tensor]:
        """Make of the products of the input how much of the state stays, and where it moves."""

    def forward(self, x: Tensor, state: Parts, rows: Rows | None) -> tuple[Tensor, Parts]:
        """Read all steps, see `Core`."""
        stays, x = self.gates(single(linear(x, self.weight, self.bias)))
        output, last = blend(self.held(stays), x, state[0].to(x), rows)
        return output, (last,)


def single(x: Tensor) -> Tensor:
    """Give products in at least single precision, in which recurrences run."""
    return x.float() if x.dtype.itemsize < 4 else x
