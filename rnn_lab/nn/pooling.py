"""From the outputs of a layer over time to one vector a row; padding is never read."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from rnn_lab.nn.functional.padding import lengths_to_mask


class Pool(nn.Module, ABC):
    """Makes one vector of the steps of each row; padding is never read.

    Args:
        size: Features of the output that is pooled.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.output_size = size

    @abstractmethod
    def forward(self, output: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool `(batch, time, size)` to `(batch, output_size)`; without lengths rows are full."""


class FinalState(Pool):
    """Take the output at the last real step, and at step 0 of the half that reads backwards.

    Args:
        size: Features of the output, both directions together.
        bidirectional: Whether the second half of the features reads backwards.
    """

    def __init__(self, size: int, bidirectional: bool = False) -> None:
        super().__init__(size)
        self.forwards = size // 2 if bidirectional else size

    def forward(self, output: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool `(batch, time, size)` to `(batch, size)`; without lengths all rows are full."""
        batch, time, _ = output.shape
        rows = torch.arange(batch, device=output.device)
        last = rows.new_tensor(time - 1) if lengths is None else lengths.to(output.device) - 1
        final = output[rows, last, : self.forwards]
        return torch.cat([final, output[:, 0, self.forwards :]], dim=-1)


class MeanPooling(Pool):
    """Average the real steps.

    Args:
        size: Features of the output.
    """

    def forward(self, output: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool `(batch, time, size)` to `(batch, size)`; without lengths all rows are full."""
        if lengths is None:
            return output.mean(dim=1)
        return _fill_padding(output, lengths, 0).sum(dim=1) / lengths.to(output).unsqueeze(1)


class MaxPooling(Pool):
    """Take each feature's greatest value among the real steps.

    Args:
        size: Features of the output.
    """

    def forward(self, output: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool `(batch, time, size)` to `(batch, size)`; without lengths all rows are full."""
        return _fill_padding(output, lengths, -torch.inf).max(dim=1).values


class AttentionPooling(Pool):
    """Average the real steps by weights from a small network with a learned query.

    Source: Yang et al. (2016), https://aclanthology.org/N16-1174, section 2.2.

    Args:
        size: Features of the output.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.key = nn.Linear(size, size)
        self.query = nn.Linear(size, 1, bias=False)

    def weights(self, output: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Weigh every step of `(batch, time, size)`: `(batch, time)`, sums to one over time."""
        scores = self.query(torch.tanh(self.key(_fill_padding(output, lengths, 0))))
        return _fill_padding(scores, lengths, -torch.inf).squeeze(-1).softmax(dim=1)

    def forward(self, output: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool `(batch, time, size)` to `(batch, size)`; without lengths all rows are full."""
        output = _fill_padding(output, lengths, 0)
        return (self.weights(output, lengths).unsqueeze(-1) * output).sum(dim=1)


class Concatenation(Pool):
    """Put the results of several pools side by side.

    Args:
        pools: The pools, each called with the same output and lengths.
        size: Features of the output, and of the result of each pool.
    """

    def __init__(self, pools: list[Pool], size: int) -> None:
        super().__init__(len(pools) * size)
        self.pools = nn.ModuleList(pools)

    def forward(self, output: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool `(batch, time, size)` to `(batch, output_size)`."""
        return torch.cat([pool(output, lengths) for pool in self.pools], dim=-1)


POOLINGS: dict[str, Callable[[int], Pool]] = {
    "final": FinalState,
    "mean": MeanPooling,
    "max": MaxPooling,
    "attention": AttentionPooling,
}


def pool(spec: str, size: int, bidirectional: bool = False) -> Pool:
    """Build a pool by its name, or several whose results are concatenated.

    Args:
        spec: A name of `POOLINGS`, or several joined by `+`, such as `"mean+max"`.
        size: Features of the output to be pooled, both directions together.
        bidirectional: Whether the second half of the features reads backwards.

    Returns:
        A module `(output, lengths) -> (batch, output_size)`.

    Raises:
        ValueError: If a name is unknown.
    """
    names = spec.split("+")
    if unknown := [name for name in names if name not in POOLINGS]:
        raise ValueError(
            f"pooling must be of {', '.join(POOLINGS)}, joined by + if several, got {unknown[0]!r}"
        )
    pools = [FinalState(size, bidirectional) if n == "final" else POOLINGS[n](size) for n in names]
    return pools[0] if len(pools) == 1 else Concatenation(pools, size)


def _fill_padding(output: Tensor, lengths: Tensor | None, value: float) -> Tensor:
    if lengths is None:
        return output
    padding = ~lengths_to_mask(lengths, output.size(1), output.device)
    return output.masked_fill(padding.unsqueeze(-1), value)
