"""minGRU: a GRU whose gates depend on the input alone."""

from torch import Tensor

from rnn_lab.nn.functional.activations import activate
from rnn_lab.nn.layers.scan_core import BlendCore
from rnn_lab.nn.layers.stack import StackedRNN


class MinGRUCore(BlendCore):
    """One layer and direction of a `MinGRU`."""

    blocks = 2

    def gates(self, products: Tensor) -> tuple[Tensor, Tensor]:
        """See `BlendCore`."""
        stays, candidate = activate(products, "shut positive")
        return stays, candidate


class MinGRU(StackedRNN):
    """A GRU whose gates see the input alone: `h = (1 - z) h + z g(V x)` with `z = s(W x)`.

    Its function g makes candidates positive: `g(u) = u + 0.5` above zero, a sigmoid below.

    Source: Feng et al. (2024), https://arxiv.org/abs/2410.01201, appendix B.
    """

    core = MinGRUCore
    year, cost, parallel = 2024, "2HD", True
