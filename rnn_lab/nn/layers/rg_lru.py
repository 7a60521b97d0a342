"""Real-gated linear recurrent unit (RG-LRU): gated diagonal recurrence."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from rnn_lab.nn.functional.activations import activate
from rnn_lab.nn.functional.linear import linear
from rnn_lab.nn.functional.padding import Rows
from rnn_lab.nn.functional.scan import scan
from rnn_lab.nn.functional.state import Parts
from rnn_lab.nn.layers.scan_core import ScanCore, single
from rnn_lab.nn.layers.stack import StackedRNN


class RGLRUCore(ScanCore):
    """One layer and direction of an `RGLRU`."""

    droppable = ("weight",)
    sharpness = 8.0  # called c in the paper

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.blocks = 2 if input_size == hidden_size else 3
        self.weight = nn.Parameter(torch.empty(self.blocks * hidden_size, input_size))
        self.bias = nn.Parameter(torch.empty(self.blocks * hidden_size))
        self.decay = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights by LeCun; units forget between 0.1 and 10 % a step with an open gate."""
        nn.init.normal_(self.weight, std=self.input_size**-0.5)
        nn.init.zeros_(self.bias)
        kept = torch.empty(self.hidden_size).uniform_(0.9, 0.999) ** (1 / self.sharpness)
        with torch.no_grad():
            self.decay.copy_(kept.logit())

    def forward(self, x: Tensor, state: Parts, rows: Rows | None) -> tuple[Tensor, Parts]:
        """Read all steps, see `Core`."""
        products = single(linear(x, self.weight, self.bias))
        names = "sigmoid sigmoid same" if self.blocks == 3 else "sigmoid sigmoid"
        recurrence, enter, *projected = activate(products, names)
        rate = self.sharpness * F.logsigmoid(self.decay)  # of decay, negative, for an open gate
        a, b = _Decay.apply(recurrence, enter, projected[0] if projected else x.to(products), rate)
        if self.zoneout:
            moving = self.moving(a)
            a, b = 1 - moving * (1 - a), moving * b
        output, last = scan(a, b, state[0].to(b), rows)
        return output, (last,)


class RGLRU(StackedRNN):
    """Real units whose decay is gated by the input: `h = a^(c r) h + sqrt(1 - a^(2 c r)) (i x)`.

    The gates r and i see the input alone. Where the input is not as wide as the state, a third
    product brings it there. The convolution that stands before it in Griffin is left out.

    Source: De et al. (2024), https://arxiv.org/abs/2402.19427, section 2.4, equations 1 to 4.
    """

    core = RGLRUCore
    year, cost, parallel = 2024, "2HD", True


class _Decay(Function):
    """Give `a = exp(rate r)` and `b = sqrt(1 - a^2) (i x)` of a negative rate."""

    @staticmethod
    def forward(ctx: Any, r: Tensor, i: Tensor, x: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        log = rate * r
        a, room = log.exp(), log.mul_(2).expm1_().neg_().sqrt_()
        ctx.save_for_backward(r, i, x, rate, a, room)
        return a, (room * i).mul_(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_a: Tensor, to_b: Tensor) -> tuple[Tensor, ...]:
        r, i, x, rate, a, room = ctx.saved_tensors
        to_entered = to_b * room
        # Without a bound the slope of the root is infinite where nothing decays.
        to_room = (to_b * i).mul_(x).mul_(a).div_(room.clamp(min=1e-3))
        to_log = torch.sub(to_a, to_room, out=to_room).mul_(a)
        to_rate = (to_log * r).sum((0, 1))
        return to_log.mul_(rate), to_entered * x, to_entered.mul_(i), to_rate
