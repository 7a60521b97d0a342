"""Linear recurrent unit (LRU): complex diagonal recurrence."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnn_lab.nn.functional.linear import linear
from rnn_lab.nn.functional.padding import Rows
from rnn_lab.nn.functional.scan import rotate
from rnn_lab.nn.functional.state import Parts
from rnn_lab.nn.layers.scan_core import ScanCore, single
from rnn_lab.nn.layers.stack import StackedRNN


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


class LRU(StackedRNN):
    """Complex units that decay and turn by fixed factors: `s = a s + B x`, `y = Re(C s) + D x`.

    Linear in time; a gated linear unit after each layer makes depth worth while (`glu`).

    Source: Orvieto et al. (2023), https://arxiv.org/abs/2303.06349, section 3 and appendix A.
    """

    core = LRUCore
    year, cost, parallel = 2023, "2HD + 4HH", True
