"""Rows of different lengths as recurrent kernels see them: time first, padding last."""

import torch
from torch import Tensor


class Rows:
    """Where the real steps of padded rows `(time, batch, features)` lie.

    Args:
        lengths: Real steps of each row, `(batch,)` int64 on the CPU.
        time: Steps of the padded rows.
        device: Where the rows are.

    Attributes:
        padding: True on padding, `(time, batch, 1)` bool.
    """

    def __init__(self, lengths: Tensor, time: int, device: torch.device) -> None:
        steps, rows = torch.arange(time).unsqueeze(1), torch.arange(len(lengths))
        padding = steps >= lengths
        mirrored = torch.where(padding, steps, lengths - 1 - steps)
        self.padding = padding.unsqueeze(-1).to(device)
        self.padded = padding.flatten().nonzero().squeeze(1).to(device)
        self.mirrored = (mirrored * len(lengths) + rows).flatten().to(device)
        self.final = ((lengths - 1) * len(lengths) + rows).to(device)

    def blank(self, x: Tensor) -> Tensor:
        """Set padding to zero; where little is padded, many times faster than `masked_fill`."""
        return x.flatten(0, 1).index_fill(0, self.padded, 0).view_as(x)

    def reverse(self, x: Tensor) -> Tensor:
        """Turn each row round inside its length."""
        return x.flatten(0, 1).index_select(0, self.mirrored).view_as(x)

    def last(self, x: Tensor) -> Tensor:
        """Take each row's last real step, `(batch, ...)`."""
        return x.flatten(0, 1).index_select(0, self.final)


def check_lengths(lengths: Tensor, batch: int, time: int) -> None:
    """Refuse lengths that are none.

    Raises:
        TypeError: If they are not whole numbers on the CPU.
        ValueError: If there is not one a row, each from 1 to `time`.
    """
    if not isinstance(lengths, Tensor):
        found = type(lengths).__name__
        raise TypeError(f"lengths must be an int64 tensor, got a {found}; the state comes third")
    if lengths.dtype != torch.int64 or not lengths.is_cpu:
        found = f"{lengths.dtype} on {lengths.device}"
        raise TypeError(f"lengths must be int64 on the CPU, got {found}; the state comes third")
    if lengths.shape != (batch,):
        raise ValueError(f"lengths must have shape ({batch},), got {tuple(lengths.shape)}")
    shortest, longest = (int(bound) for bound in lengths.aminmax())
    if shortest < 1 or longest > time:
        wrong = shortest if shortest < 1 else longest
        raise ValueError(f"lengths must be from 1 to {time}, got {wrong}")


def lengths_to_mask(lengths: Tensor, time: int, device: torch.device | str | None = None) -> Tensor:
    """Mark the real steps of padded rows.

    Args:
        lengths: Real steps of each row, `(batch,)`.
        time: Steps of the padded rows.
        device: Where the mask is wanted, by default where the lengths are.

    Returns:
        True on real steps, `(batch, time)` bool.

    Example:
        >>> lengths_to_mask(torch.tensor([1, 3]), time=3).int()
        tensor([[1, 0, 0],
                [1, 1, 1]], dtype=torch.int32)
    """
    steps = torch.arange(time, device=lengths.device)
    return (steps < lengths.unsqueeze(1)).to(device or lengths.device, non_blocking=True)
