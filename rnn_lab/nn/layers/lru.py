"""Linear recurrent unit (LRU): complex diagonal recurrence."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnn_lab.nn.functional.linear import linear
from rnn_lab.nn.functional.padding import PaddingInfo
from rnn_lab.nn.functional.precision import at_least_float32
from rnn_lab.nn.functional.scan import complex_scan
from rnn_lab.nn.functional.state import LayerState
from rnn_lab.nn.layers.scan_layer import ScanLayer
from rnn_lab.nn.layers.stack import StackedRNN
from rnn_lab.nn.native.scan import Scan


class LRULayer(ScanLayer):
    """One layer and direction of an `LRU`.

    Args:
        input_size: Number of input features.
        hidden_size: Number of complex units of the state, and of output features.
        r_min: Smallest initial magnitude of the eigenvalues.
        r_max: Largest initial magnitude of the eigenvalues.
        max_phase: Largest initial phase of the eigenvalues, in radians.
        glu: Whether to apply a gated linear unit to the output; without it the layer is linear.
    """

    weight_drop_params, native_kernel = ("weight",), "lru"

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
        """Initialize eigenvalues uniformly on a ring, and weights that preserve variances.

        Squared magnitudes and phases are uniform; the input is scaled by
        `sqrt(1 - |eigenvalue|^2)`, which keeps the state as large as its input.
        """
        size, ring = self.hidden_size, self.r_max**2 - self.r_min**2
        # A magnitude of 1 would need a scale of 0, whose logarithm is not finite.
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
        """Return the shape of the state as real and imaginary parts."""
        return ((self.hidden_size, 2),)

    def eigenvalues(self) -> Tensor:
        """Return the complex eigenvalues, `(hidden_size, 2)`, whose magnitude is below one."""
        magnitude, phase = torch.exp(-self.log_decay.exp()), self.log_phase.exp()
        return torch.stack([magnitude * phase.cos(), magnitude * phase.sin()], -1)

    def forward(
        self, x: Tensor, state: LayerState, padding: PaddingInfo | None
    ) -> tuple[Tensor, LayerState]:
        """Process all steps, see `UnidirectionalLayer`."""
        states, final = self._scan(x, state[0], padding)
        y = linear(states.flatten(-2), self.out)
        is_matrix = self.skip.dim() == 2
        y = y + linear(x, self.skip) if is_matrix else torch.addcmul(y, self.skip, x)
        if self.glu is not None:
            y = F.glu(linear(F.gelu(y), self.glu.weight, self.glu.bias), -1)
        return at_least_float32(y), (final,)

    def skips_padding(self, x: Tensor, *state: Tensor) -> bool:
        """Return False, see `UnidirectionalLayer`: the output is not zero on padding."""
        return False

    def _scan(self, x: Tensor, state: Tensor, padding: PaddingInfo | None) -> tuple[Tensor, Tensor]:
        """Compute all states, `(time, batch, hidden_size, 2)`, and the final one."""
        scale = self.log_scale.exp().repeat_interleave(2).unsqueeze(1)
        weight = scale * self.weight
        if super().skips_padding(x, state):
            real, imaginary = self.eigenvalues().unbind(-1)
            pairs = torch.stack([real, real, -imaginary, imaginary]).view(2, 2, -1)
            factors = pairs.transpose(1, 2).flatten()
            states, final = Scan("lru", padding)(x, state.flatten(1), weight, None, factors)
            shape = (self.hidden_size, 2)
            return states.unflatten(-1, shape), final.unflatten(-1, shape)
        projected = at_least_float32(linear(x, weight))
        b = projected.unflatten(-1, (self.hidden_size, 2))
        a = self.eigenvalues().expand(1, 1, -1, 2)
        if self.zoneout:
            rate = self.update_rate(b[..., :1])
            b, one = rate * b, torch.eye(1, 2, dtype=b.dtype, device=b.device)[0]
            a = one + rate * (a - one)
        return complex_scan(a, b, state.to(b), padding)


class LRU(StackedRNN):
    """Linear recurrent unit: complex diagonal recurrence, `s = a s + B x`, `y = Re(C s) + D x`.

    It is linear in time; a gated linear unit after each layer (`glu`) makes stacked layers useful.

    Source: Orvieto et al. (2023), https://arxiv.org/abs/2303.06349, section 3 and appendix A.
    """

    layer_class = LRULayer
    year, cost, parallel = 2023, "2HD + 4HH", True
