"""Recurrent cells: one step each, the equations written out.

A cell splits a step into `project`, the share of the input, which is one product for all steps of
a row, and `update`, the step itself. `unrolled.py` makes a layer of any such cell.
"""

import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnn_lab.nn.kernels import LayerNormLSTMFunction, LayerNormGRUFunction, PeepholeLSTMFunction, IndRNNFunction, SRUFunction, SLSTMFunction, run
from rnn_lab.nn.products import linear
from rnn_lab.nn.state import Parts, State, parts, whole, zoneout


class Cell(nn.Module):
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

    def project(self, x: Tensor) -> Tensor:
        """Give the share of the input in a step or in many, `(..., input_size)`."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it makes of its input")

    def update(self, projected: Tensor, state: Parts) -> Parts:
        """Take a step with the share of its input, `(batch, ...)`, and the state before it."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its step is")

    def walk(self, x: Tensor, state: Parts) -> Parts | None:
        """Take all steps by a kernel of `kernels.py`; None: there is none, `update` takes each.

        Args:
            x: The input, `(time, batch, input_size)`.
            state: What came before, each `(batch, hidden_size)`.

        Returns:
            The states after all steps, each `(time, batch, hidden_size)`.
        """
        return None

    def zoneout(self, before: Parts, after: Parts, p: float) -> Parts:
        """Keep units as they were before a step, see `rnn_lab.nn.state.zoneout`."""
        return zoneout(before, after, p, self.training)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


class _Gated(Cell):
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


class RNNCell(_Gated):
    """The simple recurrent network: `h' = tanh(W x + R h + b)`.

    Source: Elman (1990), https://doi.org/10.1207/s15516709cog1402_1.
    """

    gates = 1

    def update(self, projected: Tensor, state: Parts) -> Parts:
        (h,) = state
        return (torch.tanh(projected + self.recur(h)),)


class LSTMCell(_Gated):
    """Long short-term memory: `c' = f c + i g` and `h' = o tanh(c')`; its state is (h, c).

    Source: Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735; Gers et
    al. (2000), https://doi.org/10.1162/089976600300015015, for the forget gate.
    """

    gates, kept = 4, 2

    def reset_parameters(self) -> None:
        """Start as others do, but half open towards remembering."""
        super().reset_parameters()
        self.bias_ih.detach().chunk(4)[1].add_(1)

    def update(self, projected: Tensor, state: Parts) -> Parts:
        h, c = state
        i, f, g, o = (projected + self.recur(h)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class GRUCell(_Gated):
    """Gated recurrent units: `n = tanh(W x + r R h)` and `h' = (1 - z) n + z h`.

    Source: Cho et al. (2014), https://arxiv.org/abs/1406.1078.
    """

    gates = 3

    def update(self, projected: Tensor, state: Parts) -> Parts:
        (h,) = state
        x_r, x_z, x_n = projected.chunk(3, -1)
        h_r, h_z, h_n = self.recur(h).chunk(3, -1)
        r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
        n = torch.tanh(x_n + r * h_n)
        return ((1 - z) * n + z * h,)


class _Normed(_Gated):
    """A cell whose products of input and state are normalised, each on its own.

    Args:
        input_size: Features of a step.
        hidden_size: Units.
        norm: Whether the products of all gates are normalised together or each gate's on its own.
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, norm: Literal["all", "gate"] = "all"
    ) -> None:
        if norm not in ("all", "gate"):
            raise ValueError(f"norm must be all or gate, got {norm!r}")
        super().__init__(input_size, hidden_size)
        self.norm = norm

    def _add_weights(self) -> None:
        super()._add_weights()
        self.gain_ih = nn.Parameter(torch.ones(self.gates * self.hidden_size))
        self.gain_hh = nn.Parameter(torch.ones(self.gates * self.hidden_size))

    def reset_parameters(self) -> None:
        """Start as others do, with gains of one and biases that differ.

        Were they zero, a row that begins with no input at all, such as dropped words, would leave
        all units alike, and a norm of what is all alike makes its gradient hundreds of times
        greater at every step.
        """
        super().reset_parameters()
        for gain in (self.gain_ih, self.gain_hh):
            nn.init.ones_(gain)
        nn.init.uniform_(self.bias_ih, -(self.hidden_size**-0.5), self.hidden_size**-0.5)

    def project(self, x: Tensor, times: Tensor | None = None) -> Tensor:
        product = linear(x, self.weight_ih).to(self.gain_ih.dtype)
        if times is None:
            return self._normed(product, self.gain_ih, self.bias_ih)
        return self._normed(product, self.gain_ih * times, self.bias_ih * times)

    def recur(self, h: Tensor) -> Tensor:
        product = linear(h, self.weight_hh).to(h.dtype)
        return self._normed(product, self.gain_hh, self.bias_hh)

    @property
    def groups(self) -> int:
        """Parts of the products that are normalised each on its own."""
        return 1 if self.norm == "all" else self.gates

    def _normed(self, x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        if self.norm == "all":
            return F.layer_norm(x, gain.shape, gain, bias)
        own = F.layer_norm(x.unflatten(-1, (self.gates, -1)), (self.hidden_size,))
        return torch.addcmul(bias, own.flatten(-2), gain)


class LayerNormLSTMCell(_Normed):
    """An LSTM with layer norm on the products of input and state and on the cell state it shows.

    With `norm=gate` every gate is normalised on its own.

    Source: Ba et al. (2016), https://arxiv.org/abs/1607.06450, equations 20 to 22.
    """

    gates, kept = 4, 2

    def _add_weights(self) -> None:
        super()._add_weights()
        self.gain_c = nn.Parameter(torch.ones(self.hidden_size))
        self.bias_c = nn.Parameter(torch.zeros(self.hidden_size))

    def reset_parameters(self) -> None:
        """Start with gains of one, half open towards remembering."""
        super().reset_parameters()
        nn.init.ones_(self.gain_c)
        self.bias_ih.detach().chunk(4)[1].add_(1)

    def update(self, projected: Tensor, state: Parts) -> Parts:
        h, c = state
        i, f, g, o = (projected + self.recur(h)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        shown = F.layer_norm(c, c.shape[-1:], self.gain_c, self.bias_c)
        return o.sigmoid() * shown.tanh(), c

    def walk(self, x: Tensor, state: Parts) -> Parts:
        twice_g = self.gain_hh.new_tensor([1, 1, 2, 1]).repeat_interleave(self.hidden_size)
        normed = self.gain_hh * twice_g, self.bias_hh * twice_g, self.gain_c, self.bias_c
        share = self.project(x, twice_g)
        return run(
            LayerNormLSTMFunction, share, *state, self.weight_hh, *normed, self.groups
        )


class LayerNormGRUCell(_Normed):
    """A GRU with layer norm on the products of input and of state.

    With `norm=gate` every gate is normalised on its own; the paper takes r and z together and n on
    its own.

    Source: Ba et al. (2016), https://arxiv.org/abs/1607.06450, equations 26 to 28.
    """

    gates = 3
    update = GRUCell.update

    def walk(self, x: Tensor, state: Parts) -> Parts:
        products = self.weight_hh, self.gain_hh, self.bias_hh
        return (run(LayerNormGRUFunction, self.project(x), *state, *products, self.groups),)


class PeepholeLSTMCell(_Gated):
    """An LSTM whose gates see the cell state: i and f that before the step, o that after it.

    Source: Gers & Schmidhuber (2000), https://doi.org/10.1109/IJCNN.2000.861302.
    """

    gates, kept = 4, 2

    def _add_weights(self) -> None:
        super()._add_weights()
        self.weight_ch = nn.Parameter(torch.empty(3 * self.hidden_size))

    def reset_parameters(self) -> None:
        """Start half open towards remembering, with small peepholes."""
        super().reset_parameters()
        nn.init.ones_(self.bias_ih.detach().chunk(4)[1])
        nn.init.uniform_(self.weight_ch, -0.1, 0.1)

    def update(self, projected: Tensor, state: Parts) -> Parts:
        h, c = state
        p_i, p_f, p_o = self.weight_ch.chunk(3)
        i, f, g, o = (projected + self.recur(h)).chunk(4, -1)
        c = (f + p_f * c).sigmoid() * c + (i + p_i * c).sigmoid() * g.tanh()
        return (o + p_o * c).sigmoid() * c.tanh(), c

    def walk(self, x: Tensor, state: Parts) -> Parts:
        weights = self.weight_hh, self.bias_hh, self.weight_ch
        return run(PeepholeLSTMFunction, self.project(x), *state, *weights)


class IndRNNCell(Cell):
    """Independent units: `h' = relu(W x + u h + b)`, each with one recurrent weight of its own.

    Source: Li et al. (2018), https://arxiv.org/abs/1803.04831.

    Args:
        input_size: Features of a step.
        hidden_size: Units.
        longest: Steps of the longest rows; recurrent weights stay within `2^(1 / longest)`, so
            that no unit more than doubles what it holds. None: without bounds.
    """

    droppable = ("weight_ih",)

    def __init__(self, input_size: int, hidden_size: int, *, longest: int | None = None) -> None:
        if longest is not None and longest < 1:
            raise ValueError(f"longest must be at least 1, got {longest}")
        super().__init__(input_size, hidden_size)
        self.longest = longest
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    @property
    def bound(self) -> float:
        """The largest size of a recurrent weight."""
        return math.inf if self.longest is None else 2 ** (1 / self.longest)

    def reset_parameters(self) -> None:
        """Start with memories of all lengths, for a last layer see `remember`."""
        nn.init.kaiming_uniform_(self.weight_ih, nonlinearity="relu")
        nn.init.zeros_(self.bias_ih)
        nn.init.uniform_(self.weight_hh, 0, 1)

    def remember(self) -> None:
        """Start with long memories only: weights that keep at least half over `longest` steps."""
        if self.longest is None:
            nn.init.uniform_(self.weight_hh, 0.99, 1)
        else:
            nn.init.uniform_(self.weight_hh, 1 / self.bound, self.bound)

    def project(self, x: Tensor) -> Tensor:
        self.clip()
        return linear(x, self.weight_ih, self.bias_ih).to(self.bias_ih.dtype)

    def clip(self) -> None:
        """Bring recurrent weights back within their bounds, where a step of learning left them."""
        weight = self.weight_hh.detach()
        if self.longest is not None and bool((weight.abs() > self.bound).any()):
            weight.clamp_(-self.bound, self.bound)

    def update(self, projected: Tensor, state: Parts) -> Parts:
        (h,) = state
        return (torch.relu(projected + self.weight_hh * h),)

    def walk(self, x: Tensor, state: Parts) -> Parts:
        return (run(IndRNNFunction, self.project(x), *state, self.weight_hh),)


class SRUCell(Cell):
    """Simple recurrent units: gates see no output before them, only the cell state of their unit.

    `c' = f c + (1 - f) W x` and `h' = r c' + (1 - r) a x`, a highway past the memory, whose `a`
    keeps the variance of what passes. An input of another size is projected for the highway. Its
    state is (h, c).

    Source: Lei et al. (2018), https://arxiv.org/abs/1709.02755, sections 2 and 3.2.

    Args:
        input_size: Features of a step.
        hidden_size: Units.
        highway_bias: First bias of the gate r, zero or less: the less, the more goes past.
    """

    kept = 2
    droppable = ("weight_ih",)

    def __init__(self, input_size: int, hidden_size: int, *, highway_bias: float = 0.0) -> None:
        super().__init__(input_size, hidden_size)
        self.highway_bias = highway_bias
        self.scale = math.sqrt(1 + 2 * math.exp(highway_bias))
        rows = 3 if input_size == hidden_size else 4
        self.weight_ih = nn.Parameter(torch.empty(rows * hidden_size, input_size))
        self.weight_ch = nn.Parameter(torch.empty(2 * hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(2 * hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start with the variance of the input kept, the gates' weights smaller."""
        bound, size = math.sqrt(3 / self.input_size), self.hidden_size
        nn.init.uniform_(self.weight_ih, -bound, bound)
        self.weight_ih.detach()[size : 3 * size] *= math.sqrt(0.5)
        nn.init.uniform_(self.weight_ch, -math.sqrt(1.5), math.sqrt(1.5))
        nn.init.zeros_(self.bias_ih)
        nn.init.constant_(self.bias_ih.detach()[size:], self.highway_bias)

    def project(self, x: Tensor) -> Tensor:
        product, past = self._shares(x)
        return product if past is None else torch.cat([product, past], -1)

    def _shares(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Give the products and, where they do not hold it, what goes past the memory."""
        size = self.hidden_size
        rest = self.bias_ih.new_zeros(len(self.weight_ih) - 3 * size)
        bias = torch.cat([torch.zeros_like(self.bias_ih[:size]), self.bias_ih, rest])
        product = linear(x, self.weight_ih, bias).to(bias.dtype)
        return product, None if rest.numel() else x.to(bias.dtype)

    def update(self, projected: Tensor, state: Parts) -> Parts:
        c = state[1]
        v_f, v_r = self.weight_ch.chunk(2)
        new, f, r, past = projected.chunk(4, -1)
        f, r = (f + v_f * c).sigmoid(), (r + v_r * c).sigmoid()
        c = f * c + (1 - f) * new
        return r * c + (1 - r) * self.scale * past, c

    def walk(self, x: Tensor, state: Parts) -> Parts:
        return run(SRUFunction, *self._shares(x), state[1], self.weight_ch, self.scale)


class SLSTMCell(Cell):
    """An LSTM with exponential input gates: `h' = o c' / n'`, where n sums up the gates.

    A new entry can outweigh all older ones. `c' = f c + i z` and `n' = f n + i` are kept divided by
    `exp(m)`, where m is the largest exponent so far. Its state is (h, c, n, m).

    Source: Beck et al. (2024), https://arxiv.org/abs/2405.04517, section 2.2 and appendix A.2.

    Args:
        input_size: Features of a step.
        hidden_size: Units.
        heads: Groups of units that see only each other's output.
        depth: Where the layer stands, from 0, the first, to 1, the last; later ones forget more.
    """

    kept = 4

    def __init__(
        self, input_size: int, hidden_size: int, *, heads: int = 1, depth: float = 0.0
    ) -> None:
        if heads < 1 or hidden_size % heads:
            raise ValueError(f"heads must divide the hidden size {hidden_size}, got {heads}")
        super().__init__(input_size, hidden_size)
        self.heads, self.depth, size = heads, depth, hidden_size // heads
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(heads, 4 * size, size))
        self.bias_ih = nn.Parameter(torch.empty(4 * hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start without recurrence, with memories of all lengths in every head."""
        nn.init.normal_(self.weight_ih, std=math.sqrt(2 / (5 * self.input_size)))
        nn.init.zeros_(self.weight_hh)
        nn.init.zeros_(self.bias_ih)
        size = self.hidden_size // self.heads
        place = torch.arange(size) / max(size - 1, 1)
        forget = 5 - 12 * place ** (0.3 + 1.3 * self.depth)
        self.bias_ih.detach().chunk(4)[1].copy_(forget.repeat(self.heads))

    def project(self, x: Tensor) -> Tensor:
        return linear(x, self.weight_ih, self.bias_ih).to(self.bias_ih.dtype)

    def recur(self, h: Tensor) -> Tensor:
        """Multiply the output before by the recurrent weights."""
        return linear(h, self.recurrent()).to(h.dtype)

    def recurrent(self) -> Tensor:
        """Give the weights of all heads as one matrix, `(4 * hidden_size, hidden_size)`."""
        own = self.weight_hh.unflatten(1, (4, -1))  # (heads, 4, size, size)
        return torch.diag_embed(own.permute(1, 2, 3, 0), 0, 1, 3).reshape(-1, self.hidden_size)

    def update(self, projected: Tensor, state: Parts) -> Parts:
        h, c, n, m = state
        i, f, z, o = (projected + self.recur(h)).chunk(4, -1)
        f = F.logsigmoid(f) + m
        m = torch.where(n == 0, i, torch.maximum(f, i))  # before the first step there is no m
        f, i = (f - m).clamp(max=0).exp(), (i - m).exp()
        c, n = f * c + i * z.tanh(), f * n + i
        return o.sigmoid() * c / n, c, n, m

    def walk(self, x: Tensor, state: Parts) -> Parts:
        return run(SLSTMFunction, self.project(x), *state, self.recurrent())

    def zoneout(self, before: Parts, after: Parts, p: float) -> Parts:
        """Keep units as they were: c, n and m of a unit together, since m is the scale of both."""
        if self.training:
            stay = torch.rand_like(after[1]) < p
            both = zip(before[1:], after[1:], strict=True)
            memory = tuple(torch.where(stay, old, new) for old, new in both)
        else:
            m = torch.where(before[2] == 0, after[3], torch.maximum(before[3], after[3]))
            was, now = ((s[3] - m).clamp(max=0).exp() for s in (before, after))
            c, n = (torch.lerp(after[k] * now, before[k] * was, p) for k in (1, 2))
            memory = c, n, m
        return (*zoneout(before[:1], after[:1], p, self.training), *memory)
