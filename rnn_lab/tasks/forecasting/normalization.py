"""Normalization of windows, and its inverse."""

import torch
from torch import Tensor, nn

NORMALIZATIONS = ("none", "last", "mean", "standard", "revin")
EPSILON = 1e-5  # added to the variance of a window, as in the paper on RevIN


def normalize(values: Tensor, location: Tensor, scale: Tensor) -> Tensor:
    """Subtract the location and divide by the scale.

    Args:
        values: `(...)`, or `(..., levels)` with one axis more than the location.
        location: Value that maps to zero; broadcast against `values`.
        scale: Difference that maps to one; of the same shape as the location.
    """
    location, scale = _with_levels(values, location, scale)
    return (values - location) / scale


def denormalize(values: Tensor, location: Tensor, scale: Tensor) -> Tensor:
    """Multiply by the scale and add the location: the inverse of `normalize`.

    Args:
        values: `(...)`, or `(..., levels)` with one axis more than the location.
        location: Value that maps to zero; broadcast against `values`.
        scale: Difference that maps to one; of the same shape as the location.
    """
    location, scale = _with_levels(values, location, scale)
    return values * scale + location


def _with_levels(values: Tensor, location: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    if values.ndim > location.ndim:
        return location.unsqueeze(-1), scale.unsqueeze(-1)
    return location, scale


class WindowNormalization(nn.Module):
    """Normalize each window by its own statistics.

    `last` subtracts the last observed value, `mean` divides by the mean absolute value, `standard`
    subtracts the mean and divides by the standard deviation, `revin` does the same and then applies
    a learned affine map per channel. Missing values (NaN) are ignored and become zero.

    Source: Kim et al. (2022), https://openreview.net/forum?id=cGDAkQo1C0p, for `revin`; Lin et al.
    (2023), https://arxiv.org/abs/2308.11200, section 3.3, for `last`.

    Args:
        kind: `none`, `last`, `mean`, `standard` or `revin`.
        channels: Values per step.

    Raises:
        ValueError: If the kind is unknown.
    """

    def __init__(self, kind: str, channels: int) -> None:
        super().__init__()
        if kind not in NORMALIZATIONS:
            kinds = ", ".join(NORMALIZATIONS)
            raise ValueError(f"normalization must be one of {kinds}, got {kind!r}")
        self.kind = kind
        if kind == "revin":
            self.gain = nn.Parameter(torch.ones(channels))
            self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, past: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalize windows.

        Args:
            past: Windows, `(batch, time, channels)`, NaN where a value is missing.

        Returns:
            The normalized windows without NaN, and the location and the scale that `denormalize`
            takes, `(batch, 1, channels)` each.
        """
        with torch.no_grad():  # statistics of the data get no gradient
            location, scale = self._statistics(past)
        x = torch.nan_to_num(normalize(past, location, scale))
        if self.kind != "revin":
            return x, location, scale
        # The location and the scale returned also invert the affine map.
        gain = self.gain + torch.where(self.gain >= 0, EPSILON, -EPSILON)
        return x * gain + self.shift, location - scale * self.shift / gain, scale / gain

    def _statistics(self, past: Tensor) -> tuple[Tensor, Tensor]:
        zero, one = torch.zeros_like(past[:, :1]), torch.ones_like(past[:, :1])
        if self.kind == "none":
            return zero, one
        if self.kind == "last":
            return last_observed(past).unsqueeze(1), one
        if self.kind == "mean":
            scale = past.abs().nanmean(1, keepdim=True).nan_to_num(1)
            return zero, torch.where(scale > EPSILON, scale, one)
        mean = past.nanmean(1, keepdim=True)
        std = ((past - mean).square().nanmean(1, keepdim=True) + EPSILON).sqrt()
        return mean.nan_to_num(0), std.nan_to_num(1)


def last_observed(past: Tensor) -> Tensor:
    """Return the last value of each window that is not NaN, zero if there is none.

    Args:
        past: `(batch, time, channels)`.

    Returns:
        `(batch, channels)`.
    """
    last = past[:, -1]
    if past.is_cpu and not torch.isnan(last).any():  # elsewhere the CPU would wait for this
        return last
    steps = torch.arange(past.size(1), device=past.device).view(1, -1, 1)
    index = torch.where(torch.isnan(past), -1, steps).amax(1, keepdim=True)
    return past.gather(1, index.clamp(min=0)).nan_to_num(0).squeeze(1)
