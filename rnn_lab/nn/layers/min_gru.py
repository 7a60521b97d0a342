"""minGRU: a GRU whose gates depend only on the input."""

from torch import Tensor

from rnn_lab.nn.functional.activations import activate
from rnn_lab.nn.layers.scan_layer import GatedScanLayer
from rnn_lab.nn.layers.stack import StackedRNN


class MinGRULayer(GatedScanLayer):
    """One layer and direction of a `MinGRU`."""

    num_projections, native_kernel = 2, "min_gru"

    def gates(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Compute decay and candidate, see `GatedScanLayer`."""
        decay, candidate = activate(projected, ("one_minus_sigmoid", "softplus_like"))
        return decay, candidate


class MinGRU(StackedRNN):
    """minGRU: gates that depend only on the input, `h = (1 - z) h + z g(V x)` with `z = s(W x)`.

    The function g makes candidates positive: `g(u) = u + 0.5` above zero, a sigmoid below.

    Source: Feng et al. (2024), https://arxiv.org/abs/2410.01201, appendix B.
    """

    layer_class = MinGRULayer
    year, cost, parallel = 2024, "2HD", True
