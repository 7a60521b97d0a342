"""mLSTM: a memory that is a matrix, read by queries, with gates that see the input alone.

The recurrence is linear in the memory, so a row is read in chunks: all steps of a chunk at once, by
products of matrices, and one scan from chunk to chunk.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from rnn_lab.nn.functional.linear import linear
from rnn_lab.nn.functional.padding import Rows
from rnn_lab.nn.functional.scan import scan
from rnn_lab.nn.functional.state import Parts
from rnn_lab.nn.layers.scan_core import ScanCore, single
from rnn_lab.nn.layers.stack import StackedRNN

# Bounds on the logarithm of the floor under the quotient: single precision holds such numbers, and
# the squares of what is divided by the smaller one.
SMALLEST, LARGEST = -20.0, 80.0


class MLSTMCore(ScanCore):
    """One layer and direction of an `MLSTM`.

    Args:
        input_size: Features of a step.
        hidden_size: Features of a step of the output, of all heads together.
        heads: Memories side by side; None: the largest of 4, 3, 2, 1 that divides `hidden_size`.
        chunk: Steps that are read at once; it changes the speed, never the result.
        exponential: Whether forget gates are exponential; else they are sigmoids.
    """

    droppable = ("weight",)

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
        self.heads, self.width, self.chunk = heads, hidden_size // heads, chunk
        self.exponential = exponential
        # Rows: input gates, forget gates, queries, keys, values, output gates.
        self.weight = nn.Parameter(torch.empty(2 * heads + 4 * hidden_size, input_size))
        self.bias = nn.Parameter(torch.empty(len(self.weight)))
        self.norm = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Let gates start blind to the input: nearly shut to forgetting, at one for the input."""
        nn.init.normal_(self.weight, std=(2 / (5 * self.input_size)) ** 0.5)
        nn.init.zeros_(self.weight[: 2 * self.heads])
        nn.init.zeros_(self.bias)
        nn.init.normal_(self.bias[: self.heads], std=0.1)
        with torch.no_grad():
            self.bias[self.heads : 2 * self.heads] = torch.linspace(3, 6, self.heads)
        nn.init.ones_(self.norm)

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Memory (keys by values), the sum of keys, and the logarithm by which both are scaled."""
        heads, width = self.heads, self.width
        return (heads, width, width), (heads, width), (heads,)

    def forward(self, x: Tensor, state: Parts, rows: Rows | None) -> tuple[Tensor, Parts]:
        """Read all steps, see `Core`."""
        products = single(linear(x, self.weight, self.bias))
        time, size = len(x), min(self.chunk, len(x))
        if more := -time % size:  # steps that fill the last chunk and leave the memory as it is
            products = F.pad(products, (0, 0, 0, 0, 0, more))
        gates, q, k, v, out = _Parts.apply(products, self.heads, size)
        enter, forget = self._gates(gates, time, rows)
        with torch.autocast(x.device.type, enabled=False):  # the memory adds up many small parts
            enter, forget = (_chunked(part, size).contiguous() for part in (enter, forget))
            y, state = self._read(q, k, v, enter, forget, state)
        y = F.rms_norm(y.permute(0, 3, 1, 2, 4), (self.width,), eps=1e-6)
        y = self.norm * y.reshape(out.shape)
        return (out * y)[:time], state

    def _gates(self, gates: Tensor, time: int, rows: Rows | None) -> tuple[Tensor, Tensor]:
        """Logarithms of the input and forget gates, which leave the memory as it is on padding."""
        enter, forget = gates.chunk(2, -1)
        forget = forget if self.exponential else F.logsigmoid(forget)
        if self.zoneout and self.training:
            kept = torch.rand_like(enter) < self.zoneout
            enter, forget = enter.masked_fill(kept, -math.inf), forget.masked_fill(kept, 0)
        elif self.zoneout:
            moves, stays = math.log1p(-self.zoneout), enter.new_tensor(math.log(self.zoneout))
            enter, forget = enter + moves, torch.logaddexp(forget + moves, stays)
        if rows or len(gates) > time:
            padding = torch.arange(len(gates), device=gates.device).reshape(-1, 1, 1) >= time
            if rows:
                padding = padding | F.pad(rows.padding, (0, 0, 0, 0, 0, len(gates) - time))
            enter, forget = enter.masked_fill(padding, -math.inf), forget.masked_fill(padding, 0)
        return enter, forget

    def _read(
        self, q: Tensor, k: Tensor, v: Tensor, enter: Tensor, forget: Tensor, state: Parts
    ) -> tuple[Tensor, Parts]:
        """Read chunk by chunk.

        Args:
            q: Queries, `(chunks, batch, heads, size, width)`.
            k: Keys, likewise.
            v: Values, likewise.
            enter: Logarithms of the input gates, `(chunks, batch, heads, size)`.
            forget: Logarithms of the forget gates, likewise.
            state: Memory, sum of keys and scale before.

        Returns:
            What was read, like `q`, and the state after.
        """
        decay = forget.cumsum(-1)  # since the start of the chunk
        memory, sums, scale = (part.to(q) for part in state)
        first = memory, sums
        scales = self._scales(enter, decay, scale)
        # What each chunk adds to the memory, and what stays of the one before.
        ends, total = scales[1:], decay[..., -1]
        weights = (total.unsqueeze(-1) - decay + enter - ends.unsqueeze(-1)).exp()
        weighted = k * weights.unsqueeze(-1)
        stays = (total + scales[:-1] - ends).exp().unsqueeze(-1)
        memories, memory = scan(stays.unsqueeze(-1), weighted.transpose(-1, -2) @ v, memory)
        totals, sums = scan(stays, weighted.sum(-2), sums)
        # What each step reads: the memory before its chunk, and the steps of the chunk up to it.
        carried = decay + scales[:-1].unsqueeze(-1)
        largest = torch.maximum(decay + (enter - decay).cummax(-1).values, carried)
        later = q.new_full((q.size(-2), q.size(-2)), -math.inf).triu(1)
        pairs = (decay - largest).unsqueeze(-1) + ((enter - decay).unsqueeze(-2) + later)
        near = (q @ k.transpose(-1, -2)) * pairs.exp()
        far = q * (carried - largest).exp().unsqueeze(-1)
        read = near @ v + far @ _before(memories, first[0])
        size = near.sum(-1) + (far * _before(totals, first[1]).unsqueeze(-2)).sum(-1)
        floor = (-largest).clamp(SMALLEST, LARGEST).exp()
        y = read / torch.maximum(size.abs(), floor).unsqueeze(-1)
        return y, (memory, sums, scales[-1])

    def _scales(self, enter: Tensor, decay: Tensor, scale: Tensor) -> Tensor:
        """Logarithms of the largest weight in the memory before each chunk and after the last."""
        largest = (decay[..., -1:] - decay + enter).amax(-1)
        scales = [scale]
        for total, new in zip(decay[..., -1].unbind(0), largest.unbind(0), strict=True):
            scales.append(torch.maximum(scales[-1] + total, new))
        return torch.stack(scales)


class MLSTM(StackedRNN):
    """A matrix as memory, `C = f C + i k v^T`, read by `h = o norm(q C / max(|q n|, 1))`.

    Input gates are exponential, so that a later step can outweigh all before it; both parts of the
    quotient are scaled by the largest weight so far. Each head is brought to one size (RMS), where
    the paper's own block centers it as well.

    Source: Beck et al. (2024), https://arxiv.org/abs/2405.04517, section 2.3 and appendix A.
    """

    core = MLSTMCore
    year, cost, parallel = 2024, "4HD + HH", True


class _Parts(Function):
    """Take products apart: gates, queries, keys and values by chunks and heads, opened outputs.

    By autograd's means this would copy all of them once more, forwards and backwards.
    """

    @staticmethod
    def forward(ctx: Any, products: Tensor, heads: int, size: int) -> tuple[Tensor, ...]:
        ctx.heads, ctx.shape = heads, products.shape
        gates, q, k, v, out = products.split(_sizes(products, heads), -1)
        q, k, v = (_chunked(part.unflatten(-1, (heads, -1)), size) for part in (q, k, v))
        ctx.scale = q.size(-1) ** -0.5
        copies = (gates.contiguous(), q.contiguous(), ctx.scale * k.contiguous(), v.contiguous())
        opened = out.sigmoid()
        ctx.save_for_backward(opened)
        return *copies, opened

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        to_gates, to_q, to_k, to_v, to_out = grads
        to_products = to_out.new_empty(ctx.shape)
        gates, q, k, v, out = to_products.split(_sizes(to_products, ctx.heads), -1)
        gates.copy_(to_gates)
        for place, grad in ((q, to_q), (k, to_k * ctx.scale), (v, to_v)):
            _chunked(place.unflatten(-1, (ctx.heads, -1)), grad.size(3)).copy_(grad)
        (opened,) = ctx.saved_tensors
        torch.ops.aten.sigmoid_backward.grad_input(to_out, opened, grad_input=out)
        return to_products, None, None


def _sizes(products: Tensor, heads: int) -> list[int]:
    return [2 * heads, *[(products.size(-1) - 2 * heads) // 4] * 4]


def _before(states: Tensor, first: Tensor) -> Tensor:
    return torch.cat([first.unsqueeze(0), states[:-1]])


def _chunked(x: Tensor, size: int) -> Tensor:
    """Turn `(time, batch, heads, ...)` into `(chunks, batch, heads, size, ...)`."""
    return x.unflatten(0, (-1, size)).movedim(1, 3)
