"""minLSTM: an LSTM whose gates depend only on the input."""

import torch.nn.functional as F
from torch import Tensor, nn

from rnn_lab.nn.functional.activations import softplus_like
from rnn_lab.nn.layers.scan_layer import GatedScanLayer
from rnn_lab.nn.layers.stack import StackedRNN


class MinLSTMLayer(GatedScanLayer):
    """One layer and direction of a `MinLSTM`.

    Args:
        input_size: Number of input features.
        hidden_size: Number of units.
        forget_bias: Initial bias of the forget gates; larger values give longer memory.
    """

    num_projections, native_kernel = 3, "min_lstm"

    def __init__(self, input_size: int, hidden_size: int, *, forget_bias: float = 1.0) -> None:
        self.forget_bias = forget_bias
        super().__init__(input_size, hidden_size)

    def reset_parameters(self) -> None:
        """Initialize weights like `torch.nn.Linear`, and the biases of the forget gates."""
        super().reset_parameters()
        nn.init.constant_(self.bias[: self.hidden_size], self.forget_bias)

    def gates(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Compute decay and candidate; forget and input gate are normalized to sum to one."""
        forget, input, candidate = projected.chunk(3, -1)
        # s(f) / (s(f) + s(i)) is the sigmoid of log s(f) - log s(i): no quotient of small numbers.
        decay = (F.logsigmoid(forget) - F.logsigmoid(input)).sigmoid()
        return decay, softplus_like(candidate)


class MinLSTM(StackedRNN):
    """minLSTM: input-only gates that sum to one, `h = f h + i g(V x)`.

    The function g makes candidates positive: `g(u) = u + 0.5` above zero, a sigmoid below.

    Source: Feng et al. (2024), https://arxiv.org/abs/2410.01201, appendix B.
    """

    layer_class = MinLSTMLayer
    year, cost, parallel = 2024, "3HD", True
