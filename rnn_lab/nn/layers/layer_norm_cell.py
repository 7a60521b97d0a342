"""What cells with layer normalization inside their gates share."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnn_lab.nn.functional.linear import linear
from rnn_lab.nn.layers.cell import GatedCell


class LayerNormCell(GatedCell):
    """A cell whose products of input and state are normalized, each on its own.

    Args:
        input_size: Features of a step.
        hidden_size: Units.
        norm: Whether the products of all gates are normalized together or each gate's on its own.
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
        """Parts of the products that are normalized each on its own."""
        return 1 if self.norm == "all" else self.gates

    def _normed(self, x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        if self.norm == "all":
            return F.layer_norm(x, gain.shape, gain, bias)
        own = F.layer_norm(x.unflatten(-1, (self.gates, -1)), (self.hidden_size,))
        return torch.addcmul(bias, own.flatten(-2), gain)
