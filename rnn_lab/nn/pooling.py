"""Pooling of the outputs of a layer over time; padding is never read."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from rnn_lab.nn.functional.padding import copy_to, lengths_to_mask
from rnn_lab.nn.functional.precision import at_least_float32


class Pooling(nn.Module, ABC):
    """Base class of poolings: reduce the steps of each sequence to one vector.

    Args:
        size: Number of features of the layer's output.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.output_size = size

    @abstractmethod
    def forward(self, output: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool `(batch, time, size)` to `(batch, output_size)`; without lengths, no padding."""


class FinalState(Pooling):
    """Select the output at the last real step, and at step 0 for the backward direction.

    Args:
        size: Number of features of the output, both directions together.
        bidirectional: Whether the second half of the features is the backward direction.
    """

    def __init__(self, size: int, bidirectional: bool = False) -> None:
        super().__init__(size)
        self.forward_size = size // 2 if bidirectional else size

    def forward(self, output: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool `(batch, time, size)` to `(batch, size)`; without lengths, there is no padding."""
        batch, time, _ = output.shape
        rows = torch.arange(batch, device=output.device)
        last = time - 1 if lengths is None else copy_to(lengths, output.device) - 1
        final = output[rows, last, : self.forward_size]
        return torch.cat([final, output[:, 0, self.forward_size :]], dim=-1)


class MeanPooling(Pooling):
    """Average over the real steps.

    Args:
        size: Number of features of the output.
    """

    def forward(self, output: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool `(batch, time, size)` to `(batch, size)`; without lengths, there is no padding."""
        if lengths is None:
            return output.mean(dim=1)
        total = at_least_float32(_fill_padding(output, lengths, 0)).sum(dim=1)
        return (total / copy_to(lengths, output.device).to(total).unsqueeze(1)).to(output.dtype)


class MaxPooling(Pooling):
    """Take the maximum over the real steps.

    Args:
        size: Number of features of the output.
    """

    def forward(self, output: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool `(batch, time, size)` to `(batch, size)`; without lengths, there is no padding."""
        return _fill_padding(output, lengths, -torch.inf).max(dim=1).values


class AttentionPooling(Pooling):
    """Average over the real steps with attention weights for a learned query.

    Source: Yang et al. (2016), https://aclanthology.org/N16-1174, section 2.2.

    Args:
        size: Number of features of the output.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.key = nn.Linear(size, size)
        self.query = nn.Linear(size, 1, bias=False)

    def weights(self, output: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute attention weights, `(batch, time)`, that sum to one over time."""
        scores = self.query(torch.tanh(self.key(_fill_padding(output, lengths, 0))))
        return _fill_padding(scores, lengths, -torch.inf).squeeze(-1).softmax(dim=1)

    def forward(self, output: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool `(batch, time, size)` to `(batch, size)`; without lengths, there is no padding."""
        output = _fill_padding(output, lengths, 0)
        return (self.weights(output, lengths).unsqueeze(-1) * output).sum(dim=1)


class ConcatPooling(Pooling):
    """Concatenate the results of several poolings.

    Args:
        poolings: The poolings, each applied to the same output and lengths.
        size: Number of features of the output, and of the result of each pooling.
    """

    def __init__(self, poolings: list[Pooling], size: int) -> None:
        super().__init__(len(poolings) * size)
        self.poolings = nn.ModuleList(poolings)

    def forward(self, output: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool `(batch, time, size)` to `(batch, output_size)`."""
        return torch.cat([pooling(output, lengths) for pooling in self.poolings], dim=-1)


POOLINGS: dict[str, Callable[[int], Pooling]] = {
    "final": FinalState,
    "mean": MeanPooling,
    "max": MaxPooling,
    "attention": AttentionPooling,
}


def build_pooling(names: str, size: int, bidirectional: bool = False) -> Pooling:
    """Build a pooling by name, or several whose results are concatenated.

    Args:
        names: Name in `POOLINGS`, or several joined by `+`, such as `"mean+max"`.
        size: Number of features of the output, both directions together.
        bidirectional: Whether the second half of the features is the backward direction.

    Returns:
        A module `(output, lengths) -> (batch, output_size)`.

    Raises:
        ValueError: If a name is unknown.
    """
    kinds = names.split("+")
    if unknown := [kind for kind in kinds if kind not in POOLINGS]:
        raise ValueError(
            f"pooling must be one of {', '.join(POOLINGS)}, or several joined by +, "
            f"got {unknown[0]!r}"
        )
    poolings = [
        FinalState(size, bidirectional) if kind == "final" else POOLINGS[kind](size)
        for kind in kinds
    ]
    return poolings[0] if len(poolings) == 1 else ConcatPooling(poolings, size)


def _fill_padding(output: Tensor, lengths: Tensor | None, value: float) -> Tensor:
    if lengths is None:
        return output
    padding = ~lengths_to_mask(lengths, output.size(1), output.device)
    return output.masked_fill(padding.unsqueeze(-1), value)
