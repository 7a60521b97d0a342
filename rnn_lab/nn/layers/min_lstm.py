"""minLSTM: an LSTM whose gates depend on the input alone."""

import torch.nn.functional as F
from torch import Tensor, nn

from rnn_lab.nn.functional.activations import positive
from rnn_lab.nn.layers.scan_core import BlendCore
from rnn_lab.nn.layers.stack import StackedRNN


class MinLSTMCore(BlendCore):
    """One layer and direction of a `MinLSTM`.

    Args:
        input_size: Features of a step.
        hidden_size: Units.
        forget_bias: Where the biases of the forget gates start; above zero it remembers longer.
    """

    blocks = 3

    def __init__(self, input_size: int, hidden_size: int, *, forget_bias: float = 1.0) -> None:
        self.forget_bias = forget_bias
        super().__init__(input_size, hidden_size)

    def reset_parameters(self) -> None:
        """Draw weights as a linear layer of torch does; forget gates start open."""
        super().reset_parameters()
        nn.init.constant_(self.bias[: self.hidden_size], self.forget_bias)

    def gates(self, products: Tensor) -> tuple[Tensor, Tensor]:
        """See `BlendCore`: forget and input gate are scaled to add up to one."""
        forget, enter, candidate = products.chunk(3, -1)
        # s(f) / (s(f) + s(i)) is the sigmoid of log s(f) - log s(i): no quotient of small numbers.
        return (F.logsigmoid(forget) - F.logsigmoid(enter)).sigmoid(), positive(candidate)


class MinLSTM(StackedRNN):
    """An LSTM whose gates see the input alone and add up to one: `h = f h + i g(V x)`.

    Its function g makes candidates positive: `g(u) = u + 0.5` above zero, a sigmoid below.

    Source: Feng et al. (2024), https://arxiv.org/abs/2410.01201, appendix B.
    """

    core = MinLSTMCore
    year, cost, parallel = 2024, "3HD", True
