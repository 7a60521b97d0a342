"""Base class of cells with layer normalization inside their gates."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnn_lab.nn.functional.linear import linear
from rnn_lab.nn.layers.cell import GatedCell
from rnn_lab.nn.native.layer_norm import NormRun


class LayerNormCell(GatedCell):
    """A cell that normalizes the projected input and the projected state separately.

    Args:
        input_size: Number of input features.
        hidden_size: Number of units.
        norm: `all` normalizes the pre-activations of all gates together, `gate` each gate's own.
    """

    native_run = NormRun

    def __init__(
        self, input_size: int, hidden_size: int, *, norm: Literal["all", "gate"] = "all"
    ) -> None:
        if norm not in ("all", "gate"):
            raise ValueError(f"norm must be all or gate, got {norm!r}")
        super().__init__(input_size, hidden_size)
        self.norm = norm
        if self.native_kernel:  # there is one for each kind of norm
            self.native_kernel = f"{self.native_kernel}_{norm}"

    def _create_weights(self) -> None:
        super()._create_weights()
        self.gain_ih = nn.Parameter(torch.ones(self.num_gates * self.hidden_size))
        self.gain_hh = nn.Parameter(torch.ones(self.num_gates * self.hidden_size))

    def reset_parameters(self) -> None:
        """Initialize like `GatedCell`, with gains of one and random input biases.

        With zero biases a sequence that starts with zero inputs, such as dropped words, would
        leave all units equal, and layer norm of equal values multiplies the gradient by several
        hundred at every step.
        """
        super().reset_parameters()
        for gain in (self.gain_ih, self.gain_hh):
            nn.init.ones_(gain)
        nn.init.uniform_(self.bias_ih, -(self.hidden_size**-0.5), self.hidden_size**-0.5)

    def project(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        """Project and normalize the input; `scale` multiplies gain and bias if it is given."""
        product = linear(x, self.weight_ih).to(self.gain_ih.dtype)
        if scale is None:
            return self._normalize(product, self.gain_ih, self.bias_ih)
        return self._normalize(product, self.gain_ih * scale, self.bias_ih * scale)

    def project_state(self, h: Tensor) -> Tensor:
        product = linear(h, self.weight_hh).to(h.dtype)
        return self._normalize(product, self.gain_hh, self.bias_hh)

    def native_weights(self) -> list[Tensor]:
        biases = self.bias_ih, self.bias_hh
        return [self.weight_ih, self.weight_hh, *biases, self.gain_ih, self.gain_hh]

    @property
    def num_groups(self) -> int:
        """Number of groups of pre-activations that are normalized separately."""
        return 1 if self.norm == "all" else self.num_gates

    def _normalize(self, x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        if self.norm == "all":
            return F.layer_norm(x, gain.shape, gain, bias)
        normed = F.layer_norm(x.unflatten(-1, (self.num_gates, -1)), (self.hidden_size,))
        return torch.addcmul(bias, normed.flatten(-2), gain)
