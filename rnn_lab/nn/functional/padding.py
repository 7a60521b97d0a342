"""Handling of padded sequences inside recurrent layers: time first, padding on the right."""

import torch
from torch import Tensor


class PaddingInfo:
    """Indices of real and padded steps of sequences `(time, batch, features)`.

    Args:
        lengths: Number of real steps of each sequence, `(batch,)` int64 on the CPU.
        time: Number of steps of the padded sequences.
        device: Device of the sequences.

    Attributes:
        padding_mask: True on padding, `(time, batch, 1)` bool.
        padding_index: Flat indices `time * batch` of all padded steps; None where the CPU would
            have to wait for their number.
        reverse_index: Flat indices that reverse each sequence within its length.
        last_index: Flat index of the last real step of each sequence, `(batch,)`.
        lengths: The lengths, on the CPU.
    """

    def __init__(self, lengths: Tensor, time: int, device: torch.device) -> None:
        self.lengths = lengths.contiguous()
        lengths = copy_to(lengths, device)
        steps = torch.arange(time, device=device).unsqueeze(1)
        rows = torch.arange(len(lengths), device=device)
        is_padding = steps >= lengths
        reversed_steps = torch.where(is_padding, steps, lengths - 1 - steps)
        self.padding_mask = is_padding.unsqueeze(-1)
        self.padding_index: Tensor | None = None
        if device.type == "cpu":
            self.padding_index = is_padding.flatten().nonzero().squeeze(1)
        self.reverse_index = (reversed_steps * len(lengths) + rows).flatten()
        self.last_index = (lengths - 1) * len(lengths) + rows

    def zero_padding(self, x: Tensor) -> Tensor:
        """Set padding to zero; with little padding many times faster than `masked_fill`."""
        if self.padding_index is None:
            return x.masked_fill(self.padding_mask, 0)
        return x.flatten(0, 1).index_fill(0, self.padding_index, 0).view_as(x)

    def reverse(self, x: Tensor) -> Tensor:
        """Reverse each sequence within its length; padding stays in place."""
        return x.flatten(0, 1).index_select(0, self.reverse_index).view_as(x)

    def last_step(self, x: Tensor) -> Tensor:
        """Select the last real step of each sequence, `(batch, ...)`."""
        return x.flatten(0, 1).index_select(0, self.last_index)


def copy_to(x: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor from the CPU to a device without waiting for the device."""
    if device.type == "cuda" and x.is_cpu:
        x = x.pin_memory()
    return x.to(device, non_blocking=True)


def check_lengths(lengths: Tensor, batch_size: int, time: int) -> None:
    """Validate sequence lengths.

    Raises:
        TypeError: If the lengths are not an int64 tensor on the CPU.
        ValueError: If there is not exactly one length per sequence, each from 1 to `time`.
    """
    if not isinstance(lengths, Tensor):
        kind = type(lengths).__name__
        raise TypeError(
            f"lengths must be an int64 tensor, got a {kind}; the state is the third argument"
        )
    if lengths.dtype != torch.int64 or not lengths.is_cpu:
        kind = f"{lengths.dtype} on {lengths.device}"
        raise TypeError(
            f"lengths must be int64 on the CPU, got {kind}; the state is the third argument"
        )
    if lengths.shape != (batch_size,):
        raise ValueError(f"lengths must have shape ({batch_size},), got {tuple(lengths.shape)}")
    shortest, longest = (int(bound) for bound in lengths.aminmax())
    if shortest < 1 or longest > time:
        invalid = shortest if shortest < 1 else longest
        raise ValueError(f"lengths must be from 1 to {time}, got {invalid}")


def lengths_to_mask(lengths: Tensor, time: int, device: torch.device | str | None = None) -> Tensor:
    """Create a mask of the real steps of padded sequences.

    Args:
        lengths: Number of real steps of each sequence, `(batch,)`.
        time: Number of steps of the padded sequences.
        device: Device of the mask; by default that of the lengths.

    Returns:
        True on real steps, `(batch, time)` bool.

    Example:
        >>> lengths_to_mask(torch.tensor([1, 3]), time=3).int()
        tensor([[1, 0, 0],
                [1, 1, 1]], dtype=torch.int32)
    """
    lengths = copy_to(lengths, torch.device(device or lengths.device))
    return torch.arange(time, device=lengths.device) < lengths.unsqueeze(1)
