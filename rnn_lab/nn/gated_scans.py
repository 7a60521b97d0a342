"""QRNN, minGRU and minLSTM: gates that see the input alone, so that a row is read by one scan.

All three move a share of the way from what they remember to what they see, step by step; the share
comes from one product for all steps together. See `scan.py` for the recurrence.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from rnn_lab.nn.activations import activate, positive
from rnn_lab.nn.products import linear
from rnn_lab.nn.rows import Rows
from rnn_lab.nn.scan import blend
from rnn_lab.nn.stack import Core, LayerStack
from rnn_lab.nn.state import Parts


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

    def gates(self, products: Tensor) -> tuple[Tensor, Tensor]:
        """Make of the products of the input how much of the state stays, and where it moves."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its gates are")

    def forward(self, x: Tensor, state: Parts, rows: Rows | None) -> tuple[Tensor, Parts]:
        """Read all steps, see `Core`."""
        stays, x = self.gates(single(linear(x, self.weight, self.bias)))
        output, last = blend(self.held(stays), x, state[0].to(x), rows)
        return output, (last,)


class MinGRUCore(BlendCore):
    """One layer and direction of a `MinGRU`."""

    blocks = 2

    def gates(self, products: Tensor) -> tuple[Tensor, Tensor]:
        """See `BlendCore`."""
        stays, candidate = activate(products, "shut positive")
        return stays, candidate


class MinGRU(LayerStack):
    """A GRU whose gates see the input alone: `h = (1 - z) h + z g(V x)` with `z = s(W x)`.

    Its function g makes candidates positive: `g(u) = u + 0.5` above zero, a sigmoid below.

    Source: Feng et al. (2024), https://arxiv.org/abs/2410.01201, appendix B.
    """

    core = MinGRUCore
    year, cost, parallel = 2024, "2HD", True


class MinLSTMCore(BlendCore):
    """One layer and direction of a `MinLSTM`.

    Args:
        input_size: Features of a step.
        hidden_size: Units.
        forget_bias: Where the biases of the forget gates start; above zero it remembers longer.
    """

    blocks = 3

    def __init__(self, input_size: int, hidden_size: int, *, forget_bias: float = 1.0) -> None:
        self.forget_bias = forget_bias
        super().__init__(input_size, hidden_size)

    def reset_parameters(self) -> None:
        """Draw weights as a linear layer of torch does; forget gates start open."""
        super().reset_parameters()
        nn.init.constant_(self.bias[: self.hidden_size], self.forget_bias)

    def gates(self, products: Tensor) -> tuple[Tensor, Tensor]:
        """See `BlendCore`: forget and input gate are scaled to add up to one."""
        forget, enter, candidate = products.chunk(3, -1)
        # s(f) / (s(f) + s(i)) is the sigmoid of log s(f) - log s(i): no quotient of small numbers.
        return (F.logsigmoid(forget) - F.logsigmoid(enter)).sigmoid(), positive(candidate)


class MinLSTM(LayerStack):
    """An LSTM whose gates see the input alone and add up to one: `h = f h + i g(V x)`.

    Its function g makes candidates positive: `g(u) = u + 0.5` above zero, a sigmoid below.

    Source: Feng et al. (2024), https://arxiv.org/abs/2410.01201, appendix B.
    """

    core = MinLSTMCore
    year, cost, parallel = 2024, "3HD", True


class QRNNCore(ScanCore):
    """One layer and direction of a `QRNN`.

    Args:
        input_size: Features of a step.
        hidden_size: Units.
        window: Steps of the input that a gate sees, 1 or 2.
    """

    droppable = ("weight",)

    def __init__(self, input_size: int, hidden_size: int, *, window: int = 2) -> None:
        super().__init__(input_size, hidden_size)
        if window not in (1, 2):
            raise ValueError(f"window must be 1 or 2, got {window}")
        self.window = window
        self.weight = nn.Parameter(torch.empty(3 * hidden_size, window * input_size))
        self.bias = nn.Parameter(torch.empty(3 * hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights by Glorot, gate by gate; biases are zero."""
        for gate in self.weight.split(self.hidden_size):
            nn.init.xavier_uniform_(gate)
        nn.init.zeros_(self.bias)

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The cell state and, of a window of two, what the last input adds to the next gates.

        Products instead of inputs, because they are as wide in every layer.
        """
        cell = (self.hidden_size,)
        return (cell,) if self.window == 1 else (cell, (3 * self.hidden_size,))

    def forward(self, x: Tensor, state: Parts, rows: Rows | None) -> tuple[Tensor, Parts]:
        """Read all steps, see `Core`."""
        pairs, past = (x, None) if self.window == 1 else (_Pairs.apply(x), state[1])
        products = single(linear(pairs, self.weight, self.bias))
        moved, stays, out = activate(products, "tanh sigmoid sigmoid", past)
        c, last = blend(self.held(stays), moved, state[0].to(moved), rows)
        if self.window == 1:
            return out * c, (last,)
        return out * c, (last, self._past(rows.last(x) if rows else x[-1]))

    def _past(self, x: Tensor) -> Tensor:
        """What an input adds to the gates of the step after it."""
        return single(linear(x, self.weight[:, : self.input_size]))


class QRNN(LayerStack):
    """Gates from a window of the input and a pool over time: `c = f c + (1 - f) z`, `h = o c`.

    The input is convolved over `window` steps, nothing before the first step, and pooled by forget
    and output gates (fo-pooling).

    Source: Bradbury et al. (2017), https://arxiv.org/abs/1611.01576, section 2.
    """

    core = QRNNCore
    year, cost, parallel = 2017, "6HD", True


def single(x: Tensor) -> Tensor:
    """Give products in at least single precision, in which recurrences run."""
    return x.float() if x.dtype.itemsize < 4 else x


class _Pairs(Function):
    """Put the input of the step before, zero for the first, in front of each input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        size = x.size(-1)
        pairs = x.new_empty(*x.shape[:-1], 2 * size)
        pairs[0, :, :size], pairs[1:, :, :size], pairs[..., size:] = 0, x[:-1], x
        return pairs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        before, now = grad.chunk(2, -1)
        to_x = now.clone(memory_format=torch.contiguous_format)
        to_x[:-1] += before[1:]
        return to_x
