"""Real-gated linear recurrent unit (RG-LRU): gated diagonal recurrence."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from rnn_lab.nn.functional.activations import Activation, activate
from rnn_lab.nn.functional.linear import linear
from rnn_lab.nn.functional.once_differentiable import once_differentiable
from rnn_lab.nn.functional.padding import PaddingInfo
from rnn_lab.nn.functional.precision import at_least_float32
from rnn_lab.nn.functional.scan import scan
from rnn_lab.nn.functional.state import LayerState
from rnn_lab.nn.layers.scan_layer import ScanLayer
from rnn_lab.nn.layers.stack import StackedRNN
from rnn_lab.nn.native.scan import Scan


class RGLRULayer(ScanLayer):
    """One layer and direction of an `RGLRU`."""

    weight_drop_params = ("weight",)
    sharpness = 8.0  # called c in the paper

    def build(self) -> None:
        """Create the weights of projections and gates, and the decay of each unit."""
        self.num_projections = 2 if self.input_size == self.hidden_size else 3
        self.native_kernel = "rg_lru" if self.num_projections == 2 else "projected_rg_lru"
        size = self.num_projections * self.hidden_size
        self.weight = nn.Parameter(torch.empty(size, self.input_size))
        self.bias = nn.Parameter(torch.empty(size))
        self.decay = nn.Parameter(torch.empty(self.hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize weights by LeCun, and decay of 0.1 to 10 % per step with an open gate."""
        nn.init.normal_(self.weight, std=self.input_size**-0.5)
        nn.init.zeros_(self.bias)
        factors = torch.empty(self.hidden_size).uniform_(0.9, 0.999) ** (1 / self.sharpness)
        with torch.no_grad():
            self.decay.copy_(factors.logit())

    def forward(
        self, x: Tensor, state: LayerState, padding: PaddingInfo | None
    ) -> tuple[Tensor, LayerState]:
        """Process all steps, see `UnidirectionalLayer`."""
        if self.skips_padding(x, *state):
            kernel = Scan(self.native_kernel, padding, reads_x=self.num_projections == 2)
            weights = self.weight, self.bias, self.log_decay()
            output, final = kernel(x, state[0], *weights)
            return output, (final,)
        projected = at_least_float32(linear(x, self.weight, self.bias))
        kinds: tuple[Activation, ...] = ("sigmoid", "sigmoid", "identity")
        gates = activate(projected, kinds[: self.num_projections])
        recurrence_gate, input_gate, *projected_x = gates
        x = projected_x[0] if projected_x else x.to(projected)
        a, b = _GatedDecay.apply(recurrence_gate, input_gate, x, self.log_decay())
        if self.zoneout:
            rate = self.update_rate(a)
            a, b = 1 - rate * (1 - a), rate * b
        output, final = scan(a, b, state[0].to(b), padding)
        return output, (final,)

    def log_decay(self) -> Tensor:
        """Return the logarithms of the decay factors with an open gate, which are negative."""
        return self.sharpness * F.logsigmoid(self.decay)


class RGLRU(StackedRNN):
    """RG-LRU: real units whose decay depends on the input.

    `h = a^(c r) h + sqrt(1 - a^(2 c r)) (i x)`. The gates r and i see only the input. If input and
    hidden size differ, the input is projected. The convolution that precedes the unit in Griffin is
    left out.

    Source: De et al. (2024), https://arxiv.org/abs/2402.19427, section 2.4, equations 1 to 4.
    """

    layer_class = RGLRULayer
    year, cost, parallel = 2024, "2HD", True


class _GatedDecay(Function):
    """Compute `a = exp(log_decay r)` and `b = sqrt(1 - a^2) (i x)` for a negative log_decay."""

    @staticmethod
    def forward(
        ctx: Any, r: Tensor, i: Tensor, x: Tensor, log_decay: Tensor
    ) -> tuple[Tensor, Tensor]:
        log_a = log_decay * r
        a, norm = log_a.exp(), log_a.mul_(2).expm1_().neg_().sqrt_()
        ctx.save_for_backward(r, i, x, log_decay, a, norm)
        return a, (norm * i).mul_(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_a: Tensor, grad_b: Tensor) -> tuple[Tensor, ...]:
        r, i, x, log_decay, a, norm = ctx.saved_tensors
        grad_ix = grad_b * norm
        # Without a lower bound the slope of the root is infinite where nothing decays.
        grad_norm = (grad_b * i).mul_(x).mul_(a).div_(norm.clamp(min=1e-3))
        grad_log_a = torch.sub(grad_a, grad_norm, out=grad_norm).mul_(a)
        grad_log_decay = (grad_log_a * r).sum((0, 1))
        return grad_log_a.mul_(log_decay), grad_ix * x, grad_ix.mul_(i), grad_log_decay
