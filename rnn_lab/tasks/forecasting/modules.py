"""The parts of forecasters in plain PyTorch: scaling of windows, segments, decoders."""

import torch
from torch import Tensor, nn

from rnn_lab.nn.functional.state import State, map_state
from rnn_lab.nn.layers.registry import Layer

NORMALISATIONS = ("none", "last", "mean", "standard", "revin")
EPSILON = 1e-5  # added to the variance of a window, as in the paper


class WindowScaling(nn.Module):
    """Bring every window to one scale, and say how to come back.

    `last` subtracts the last value seen, `mean` divides by the mean of the absolute values,
    `standard` subtracts the mean and divides by the deviation, `revin` does so and then stretches
    and shifts each channel by two learned numbers. What is missing (NaN) has no part in it and
    becomes zero.

    Source: Kim et al. (2022), https://openreview.net/forum?id=cGDAkQo1C0p, for `revin`; Lin et al.
    (2023), https://arxiv.org/abs/2308.11200, section 3.3, for `last`.

    Args:
        kind: `none`, `last`, `mean`, `standard` or `revin`.
        channels: Values at each step.

    Raises:
        ValueError: If the kind is unknown.
    """

    def __init__(self, kind: str, channels: int) -> None:
        super().__init__()
        if kind not in NORMALISATIONS:
            wish = ", ".join(NORMALISATIONS)
            raise ValueError(f"normalization must be one of {wish}, got {kind!r}")
        self.kind = kind
        if kind == "revin":
            self.gain = nn.Parameter(torch.ones(channels))
            self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, past: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scale windows.

        Args:
            past: Windows, `(batch, time, channels)`, NaN where nothing was observed.

        Returns:
            The scaled windows without NaN, and what zero and one are in them,
            `(batch, 1, channels)` each.
        """
        with torch.no_grad():  # a window is data, not something to learn through
            location, scale = self._measure(past)
        x = torch.nan_to_num((past - location) / scale)
        if self.kind != "revin":
            return x, location, scale
        # What the network gives is shifted and stretched back before it is placed.
        gain = self.gain + torch.where(self.gain >= 0, EPSILON, -EPSILON)
        return x * gain + self.shift, location - scale * self.shift / gain, scale / gain

    def _measure(self, past: Tensor) -> tuple[Tensor, Tensor]:
        zero, one = torch.zeros_like(past[:, :1]), torch.ones_like(past[:, :1])
        if self.kind == "none":
            return zero, one
        if self.kind == "last":
            return last_observed(past).unsqueeze(1), one
        if self.kind == "mean":
            scale = past.abs().nanmean(1, keepdim=True).nan_to_num(1)
            return zero, torch.where(scale > EPSILON, scale, one)
        mean = past.nanmean(1, keepdim=True)
        deviation = ((past - mean).square().nanmean(1, keepdim=True) + EPSILON).sqrt()
        return mean.nan_to_num(0), deviation.nan_to_num(1)


def last_observed(past: Tensor) -> Tensor:
    """The last value of each window that is no NaN, zero where there is none.

    Args:
        past: `(batch, time, channels)`.

    Returns:
        `(batch, channels)`.
    """
    last = past[:, -1]
    if not torch.isnan(last).any():
        return last
    steps = torch.arange(past.size(1), device=past.device).view(1, -1, 1)
    place = torch.where(torch.isnan(past), -1, steps).amax(1, keepdim=True)
    found = past.gather(1, place.clamp(min=0)).nan_to_num(0)
    return found.squeeze(1)


class SegmentEmbedding(nn.Module):
    """Read several steps as one: a linear layer and a rectifier over each segment.

    Source: Lin et al. (2023), https://arxiv.org/abs/2308.11200, section 3.1.

    Args:
        width: Features of a step.
        segment: Steps of a segment.
        size: Features of a segment.
    """

    def __init__(self, width: int, segment: int, size: int) -> None:
        super().__init__()
        self.segment = segment
        self.linear = nn.Linear(width * segment, size)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, time, width)` to `(batch, time / segment, size)`, the last steps whole."""
        x = x[:, x.size(1) % self.segment :]
        return torch.relu(self.linear(x.unflatten(1, (-1, self.segment)).flatten(2)))


class DirectDecoder(nn.Module):
    """Give all steps of the horizon at once from the state after the last step.

    What is known of each step to come passes a small network of its own beside it.

    Args:
        hidden_size: Features of the state.
        horizon: Steps to forecast.
        size: Numbers for each step.
        known_dim: Features known of each step to come.
        dropout: Share of the state that is dropped in training.
    """

    def __init__(
        self, hidden_size: int, horizon: int, size: int, known_dim: int, dropout: float
    ) -> None:
        super().__init__()
        self.horizon = horizon
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(hidden_size, horizon * size)
        self.known = _known_network(known_dim, hidden_size, size) if known_dim else None

    def forward(self, state: Tensor, known: Tensor) -> Tensor:
        """Decode.

        Args:
            state: After the last step, `(rows, hidden_size)`.
            known: What is known of each step to come, `(rows, horizon, known_dim)`.

        Returns:
            `(rows, horizon, size)`.
        """
        found = self.linear(self.dropout(state)).unflatten(1, (self.horizon, -1))
        return found if self.known is None else found + self.known(known)


def _known_network(known_dim: int, hidden_size: int, size: int) -> nn.Module:
    return nn.Sequential(nn.Linear(known_dim, hidden_size), nn.ReLU(), nn.Linear(hidden_size, size))


class SegmentDecoder(nn.Module):
    """Give the segments of the horizon side by side, each by one step from the same state.

    The step of a segment reads where the segment lies and, if there are several channels, which
    channel it is. It shares the layer that has read the window.

    Source: Lin et al. (2023), https://arxiv.org/abs/2308.11200, section 3.2.

    Args:
        hidden_size: Features of the state, an even number.
        horizon: Steps to forecast.
        segment: Steps of a segment.
        size: Numbers for each step.
        channels: Channels that share the weights; one if they are not told apart.
        known_dim: Features known of each step to come.
        dropout: Share of each step's output that is dropped in training.

    Raises:
        ValueError: If the hidden size is odd.
    """

    def __init__(
        self,
        hidden_size: int,
        horizon: int,
        segment: int,
        size: int,
        channels: int,
        known_dim: int,
        dropout: float,
    ) -> None:
        super().__init__()
        if channels > 1 and hidden_size % 2:
            raise ValueError(f"hidden_dim must be even for segments, got {hidden_size}")
        self.horizon, self.size = horizon, size
        segments = -(-horizon // segment)
        half = hidden_size // 2 if channels > 1 else hidden_size
        self.position = nn.Parameter(torch.randn(segments, half))
        self.channel = nn.Parameter(torch.randn(channels, half)) if channels > 1 else None
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(hidden_size, segment * size)
        self.known = _known_network(known_dim, hidden_size, size) if known_dim else None

    def forward(self, layer: Layer, state: State, known: Tensor) -> Tensor:
        """Decode.

        Args:
            layer: What has read the window.
            state: Its state after it, rows on axis 1; where channels share the weights they are
                neighbors among the rows.
            known: What is known of each step to come, `(rows, horizon, known_dim)`.

        Returns:
            `(rows, horizon, size)`.
        """
        segments = len(self.position)
        rows = len(known)
        places = self.position.expand(rows, -1, -1)
        if self.channel is not None:
            channels = self.channel.repeat(rows // len(self.channel), 1)
            places = torch.cat([places, channels.unsqueeze(1).expand(-1, segments, -1)], 2)
        spread = map_state(state, lambda part: part.repeat_interleave(segments, 1))
        after, _ = layer(places.flatten(0, 1).unsqueeze(1), None, spread)
        found = self.linear(self.dropout(after.squeeze(1)))  # (rows * segments, segment * size)
        found = found.view(rows, -1, self.size)[:, : self.horizon]
        return found if self.known is None else found + self.known(known)
