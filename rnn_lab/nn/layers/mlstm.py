"""mLSTM: an LSTM with a matrix memory that is read by queries; its gates depend only on the input.

The recurrence is linear in the memory, so a sequence is processed in chunks: all steps of a chunk
at once by matrix projected, and the chunks by one scan.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from rnn_lab.nn.functional.linear import linear
from rnn_lab.nn.functional.once_differentiable import once_differentiable
from rnn_lab.nn.functional.padding import PaddingInfo
from rnn_lab.nn.functional.precision import at_least_float32, no_autocast
from rnn_lab.nn.functional.scan import scan
from rnn_lab.nn.functional.state import LayerState
from rnn_lab.nn.layers.scan_layer import ScanLayer
from rnn_lab.nn.layers.stack import StackedRNN

# Bounds on the logarithm of the denominator's lower bound: single precision represents these
# numbers, and the squares of quotients with the smaller one.
MIN_LOG_FLOOR, MAX_LOG_FLOOR = -20.0, 80.0


class MLSTMLayer(ScanLayer):
    """One layer and direction of an `MLSTM`.

    Args:
        input_size: Number of input features.
        hidden_size: Number of output features of all heads together.
        heads: Number of heads, each with its own memory; None: the largest of 4, 3, 2, 1 that
            divides `hidden_size`.
        chunk: Steps processed at once; it affects the speed only.
        exponential: Whether forget gates are exponential instead of sigmoid.
    """

    weight_drop_params = ("weight",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        heads: int | None = None,
        chunk: int = 32,
        exponential: bool = False,
    ) -> None:
        super().__init__(input_size, hidden_size)
        heads = next(n for n in (4, 3, 2, 1) if hidden_size % n == 0) if heads is None else heads
        if heads < 1 or hidden_size % heads:
            raise ValueError(f"heads must divide hidden_size={hidden_size}, got {heads}")
        if chunk < 1:
            raise ValueError(f"chunk must be at least 1, got {chunk}")
        self.heads, self.head_dim, self.chunk = heads, hidden_size // heads, chunk
        self.exponential = exponential
        # Rows: input gates, forget gates, queries, keys, values, output gates.
        self.weight = nn.Parameter(torch.empty(2 * heads + 4 * hidden_size, input_size))
        self.bias = nn.Parameter(torch.empty(len(self.weight)))
        self.norm = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize gates that ignore the input: forget gates near one, input gates at one."""
        nn.init.normal_(self.weight, std=(2 / (5 * self.input_size)) ** 0.5)
        nn.init.zeros_(self.weight[: 2 * self.heads])
        nn.init.zeros_(self.bias)
        nn.init.normal_(self.bias[: self.heads], std=0.1)
        with torch.no_grad():
            self.bias[self.heads : 2 * self.heads] = torch.linspace(3, 6, self.heads)
        nn.init.ones_(self.norm)

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of memory (keys by values), sum of keys, and log scale of both."""
        heads, dim = self.heads, self.head_dim
        return (heads, dim, dim), (heads, dim), (heads,)

    def forward(
        self, x: Tensor, state: LayerState, padding: PaddingInfo | None
    ) -> tuple[Tensor, LayerState]:
        """Process all steps, see `UnidirectionalLayer`."""
        projected = at_least_float32(linear(x, self.weight, self.bias))
        time, size = len(x), min(self.chunk, len(x))
        if extra := -time % size:  # steps that fill the last chunk and do not change the memory
            projected = F.pad(projected, (0, 0, 0, 0, 0, extra))
        gates, q, k, v, out = _SplitProjections.apply(projected, self.heads, size)
        log_i, log_f = self._gates(gates, time, padding)
        with no_autocast(x.device):  # the memory sums many small terms
            log_i, log_f = (_chunked(part, size).contiguous() for part in (log_i, log_f))
            y, state = self._chunkwise(q, k, v, log_i, log_f, state)
        y = F.rms_norm(y.permute(0, 3, 1, 2, 4), (self.head_dim,), eps=1e-6)
        y = self.norm * y.reshape(out.shape)
        return (out * y)[:time], state

    def _gates(
        self, gates: Tensor, time: int, padding: PaddingInfo | None
    ) -> tuple[Tensor, Tensor]:
        """Return the logarithms of input and forget gates; on padding they keep the memory."""
        log_i, log_f = gates.chunk(2, -1)
        log_f = log_f if self.exponential else F.logsigmoid(log_f)
        if self.zoneout and self.training:
            keep = torch.rand_like(log_i) < self.zoneout
            log_i, log_f = log_i.masked_fill(keep, -math.inf), log_f.masked_fill(keep, 0)
        elif self.zoneout:
            log_update = math.log1p(-self.zoneout)
            log_keep = log_i.new_full((), math.log(self.zoneout))
            log_i, log_f = log_i + log_update, torch.logaddexp(log_f + log_update, log_keep)
        if padding or len(gates) > time:
            ignored = torch.arange(len(gates), device=gates.device).reshape(-1, 1, 1) >= time
            if padding:
                ignored = ignored | F.pad(padding.padding_mask, (0, 0, 0, 0, 0, len(gates) - time))
            log_i, log_f = log_i.masked_fill(ignored, -math.inf), log_f.masked_fill(ignored, 0)
        return log_i, log_f

    def _chunkwise(
        self, q: Tensor, k: Tensor, v: Tensor, log_i: Tensor, log_f: Tensor, state: LayerState
    ) -> tuple[Tensor, LayerState]:
        """Compute the recurrence chunk by chunk.

        Args:
            q: Queries, `(chunks, batch, heads, size, head_dim)`.
            k: Keys, shaped like `q`.
            v: Values, shaped like `q`.
            log_i: Logarithms of the input gates, `(chunks, batch, heads, size)`.
            log_f: Logarithms of the forget gates, shaped like `log_i`.
            state: Initial memory, sum of keys and log scale.

        Returns:
            The output, shaped like `q`, and the final state.
        """
        decay = log_f.cumsum(-1)  # since the start of the chunk
        memory, sums, scale = (part.to(q) for part in state)
        initial = memory, sums
        scales = self._scales(log_i, decay, scale)
        # What each chunk adds to the memory, and the decay of the previous memory.
        new_scales, total = scales[1:], decay[..., -1]
        weights = (total.unsqueeze(-1) - decay + log_i - new_scales.unsqueeze(-1)).exp()
        weighted = k * weights.unsqueeze(-1)
        carry = (total + scales[:-1] - new_scales).exp().unsqueeze(-1)
        memories, memory = scan(carry.unsqueeze(-1), weighted.transpose(-1, -2) @ v, memory)
        totals, sums = scan(carry, weighted.sum(-2), sums)
        # Output of each step: from the memory before its chunk, and from the chunk up to the step.
        carried = decay + scales[:-1].unsqueeze(-1)
        largest = torch.maximum(decay + (log_i - decay).cummax(-1).values, carried)
        future = q.new_full((q.size(-2), q.size(-2)), -math.inf).triu(1)
        pairs = (decay - largest).unsqueeze(-1) + ((log_i - decay).unsqueeze(-2) + future)
        near = (q @ k.transpose(-1, -2)) * pairs.exp()
        far = q * (carried - largest).exp().unsqueeze(-1)
        numerator = near @ v + far @ _previous(memories, initial[0])
        denominator = near.sum(-1) + (far * _previous(totals, initial[1]).unsqueeze(-2)).sum(-1)
        floor = (-largest).clamp(MIN_LOG_FLOOR, MAX_LOG_FLOOR).exp()
        y = numerator / torch.maximum(denominator.abs(), floor).unsqueeze(-1)
        return y, (memory, sums, scales[-1])

    def _scales(self, log_i: Tensor, decay: Tensor, scale: Tensor) -> Tensor:
        """Return the log scale of the memory before each chunk and after the last."""
        largest = (decay[..., -1:] - decay + log_i).amax(-1)
        scales = [scale]
        for total, new in zip(decay[..., -1].unbind(0), largest.unbind(0), strict=True):
            scales.append(torch.maximum(scales[-1] + total, new))
        return torch.stack(scales)


class MLSTM(StackedRNN):
    """mLSTM: matrix memory, `C = f C + i k v^T`, with output `h = o norm(q C / max(|q n|, 1))`.

    Input gates are exponential, so that a later step can outweigh all earlier ones; numerator and
    denominator are scaled by the largest weight so far. Each head is normalized by RMS norm, where
    the paper's block uses a norm that also centers.

    Source: Beck et al. (2024), https://arxiv.org/abs/2405.04517, section 2.3 and appendix A.
    """

    layer_class = MLSTMLayer
    year, cost, parallel = 2024, "4HD + HH", True


class _SplitProjections(Function):
    """Split the projected input into gates; queries, keys and values by chunk; and output gate.

    Plain autograd would copy all of them once more in both the forward and the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, projected: Tensor, heads: int, size: int) -> tuple[Tensor, ...]:
        ctx.heads, ctx.shape = heads, projected.shape
        gates, q, k, v, out = projected.split(_sizes(projected, heads), -1)
        q, k, v = (_chunked(part.unflatten(-1, (heads, -1)), size) for part in (q, k, v))
        ctx.scale = q.size(-1) ** -0.5
        copies = (gates.contiguous(), q.contiguous(), ctx.scale * k.contiguous(), v.contiguous())
        gate = out.sigmoid()
        ctx.save_for_backward(gate)
        return *copies, gate

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_gates, grad_q, grad_k, grad_v, grad_out = grads
        grad_projected = grad_out.new_empty(ctx.shape)
        gates, q, k, v, out = grad_projected.split(_sizes(grad_projected, ctx.heads), -1)
        gates.copy_(grad_gates)
        for out_part, grad in ((q, grad_q), (k, grad_k * ctx.scale), (v, grad_v)):
            _chunked(out_part.unflatten(-1, (ctx.heads, -1)), grad.size(3)).copy_(grad)
        (gate,) = ctx.saved_tensors
        torch.ops.aten.sigmoid_backward.grad_input(grad_out, gate, grad_input=out)
        return grad_projected, None, None


def _sizes(projected: Tensor, heads: int) -> list[int]:
    return [2 * heads, *[(projected.size(-1) - 2 * heads) // 4] * 4]


def _previous(states: Tensor, initial: Tensor) -> Tensor:
    return torch.cat([initial.unsqueeze(0), states[:-1]])


def _chunked(x: Tensor, size: int) -> Tensor:
    """Turn `(time, batch, heads, ...)` into `(chunks, batch, heads, size, ...)`."""
    return x.unflatten(0, (-1, size)).movedim(1, 3)
