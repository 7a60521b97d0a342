"""LRU and RG-LRU: each unit of the state decays, or turns, on its own, so that a scan reads a row.

See `scan.py` for the recurrence.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from rnn_lab.nn.activations import activate
from rnn_lab.nn.gated_scans import ScanCore, single
from rnn_lab.nn.products import linear
from rnn_lab.nn.rows import Rows
from rnn_lab.nn.scan import rotate, scan
from rnn_lab.nn.stack import LayerStack
from rnn_lab.nn.state import Parts


class LRUCore(ScanCore):
    """One layer and direction of an `LRU`.

    Args:
        input_size: Features of a step.
        hidden_size: Complex units of the state, and features of the output.
        r_min: The smallest size of the factors at the start.
        r_max: The largest.
        max_phase: The largest angle by which they turn at the start, in radians.
        glu: Whether a gated linear unit follows; without it the whole layer is linear.
    """

    droppable = ("weight",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * math.pi,
        glu: bool = True,
    ) -> None:
        super().__init__(input_size, hidden_size)
        if not 0 <= r_min < r_max <= 1:
            raise ValueError(f"0 <= r_min < r_max <= 1 must hold, got {r_min} and {r_max}")
        if max_phase <= 0:
            raise ValueError(f"max_phase must be above 0, got {max_phase}")
        self.r_min, self.r_max, self.max_phase = r_min, r_max, max_phase
        self.log_decay = nn.Parameter(torch.empty(hidden_size))
        self.log_phase = nn.Parameter(torch.empty(hidden_size))
        self.log_scale = nn.Parameter(torch.empty(hidden_size))
        self.weight = nn.Parameter(torch.empty(2 * hidden_size, input_size))  # re, im, re, im ...
        self.out = nn.Parameter(torch.empty(hidden_size, 2 * hidden_size))  # likewise
        skip = (hidden_size,) if input_size == hidden_size else (hidden_size, input_size)
        self.skip = nn.Parameter(torch.empty(skip))
        self.glu = nn.Linear(hidden_size, 2 * hidden_size) if glu else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Spread the factors evenly over a ring; draw weights so that variances stay.

        The squares of their sizes and their angles are uniform, the scale of the input is
        `sqrt(1 - |factor|^2)`, which keeps the state as large as its input.
        """
        size, ring = self.hidden_size, self.r_max**2 - self.r_min**2
        # A factor of size 1 would need a scale of 0, whose logarithm is no number.
        squared = (torch.rand(size) * ring + self.r_min**2).clamp(1e-12, 1 - 1e-6)
        with torch.no_grad():
            self.log_decay.copy_((-0.5 * squared.log()).log())
            self.log_phase.copy_((self.max_phase * torch.rand(size).clamp(min=1e-6)).log())
            self.log_scale.copy_(0.5 * (1 - squared).log())
        nn.init.normal_(self.weight, std=(2 * self.input_size) ** -0.5)
        nn.init.normal_(self.out, std=size**-0.5)
        nn.init.normal_(self.skip, std=1.0 if self.skip.dim() == 1 else self.input_size**-0.5)
        if self.glu is not None:
            nn.init.normal_(self.glu.weight, std=size**-0.5)
            nn.init.zeros_(self.glu.bias)

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Real and imaginary parts."""
        return ((self.hidden_size, 2),)

    def factors(self) -> Tensor:
        """The complex factors of the units, `(hidden_size, 2)`, always smaller than one."""
        size, angle = torch.exp(-self.log_decay.exp()), self.log_phase.exp()
        return torch.stack([size * angle.cos(), size * angle.sin()], -1)

    def forward(self, x: Tensor, state: Parts, rows: Rows | None) -> tuple[Tensor, Parts]:
        """Read all steps, see `Core`."""
        scale = self.log_scale.exp().repeat_interleave(2).unsqueeze(1)
        b = single(linear(x, scale * self.weight)).unflatten(-1, (self.hidden_size, 2))
        a = self.factors().expand(1, 1, -1, 2)
        if self.zoneout:
            moving = self.moving(b[..., :1])
            b, one = moving * b, b.new_tensor([1.0, 0.0])
            a = one + moving * (a - one)
        states, last = rotate(a, b, state[0].to(b), rows)
        y = linear(states.flatten(-2), self.out)
        matrix = self.skip.dim() == 2
        y = y + linear(x, self.skip) if matrix else torch.addcmul(y, self.skip, x)
        if self.glu is not None:
            y = F.glu(linear(F.gelu(y), self.glu.weight, self.glu.bias), -1)
        return single(y), (last,)


class LRU(LayerStack):
    """Complex units that decay and turn by fixed factors: `s = a s + B x`, `y = Re(C s) + D x`.

    Linear in time; a gated linear unit after each layer makes depth worth while (`glu`).

    Source: Orvieto et al. (2023), https://arxiv.org/abs/2303.06349, section 3 and appendix A.
    """

    core = LRUCore
    year, cost, parallel = 2023, "2HD + 4HH", True


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


class RGLRU(LayerStack):
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
