"""Transformer encoder over padded sequences, on the layers of `torch.nn`."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from rnn_lab.errors import UserError
from rnn_lab.nn.functional.padding import lengths_to_mask

POSITIONS = ("sinusoidal", "learned")


@dataclass(frozen=True)
class TransformerOptions:
    """Options of the layers of a Transformer.

    Args:
        num_heads: Attention heads of a layer, which divide its features among them.
        feedforward_dim: Units of the feed-forward network of a layer; None: four times the
            features.
        norm_first: If True, normalize the input of each sublayer (pre-norm) and the output of the
            last layer; otherwise the output of each sublayer (post-norm, as in the paper).
        positions: Positional encodings: `sinusoidal`, which are computed for any length, or
            `learned`, with one vector for each of `max_positions` positions.
        max_positions: Longest sequence with `positions=learned`.
    """

    num_heads: int = 4
    feedforward_dim: int | None = None
    norm_first: bool = True
    positions: Literal["sinusoidal", "learned"] = "sinusoidal"
    max_positions: int = 512

    def __post_init__(self) -> None:
        sizes = {"num_heads": self.num_heads, "feedforward_dim": self.feedforward_dim}
        for name, size in {**sizes, "max_positions": self.max_positions}.items():
            if size is not None and size < 1:
                raise ValueError(f"transformer.{name} must be at least 1, got {size}")
        if self.positions not in POSITIONS:
            names = ", ".join(POSITIONS)
            raise ValueError(f"transformer.positions must be {names}, got {self.positions!r}")

    def check_size(self, size: int) -> None:
        """Check that heads divide the features, and that sinusoidal encodings come in pairs.

        Raises:
            ValueError: If they do not.
        """
        if size % self.num_heads:
            raise ValueError(
                f"hidden_dim must be a multiple of transformer.num_heads ({self.num_heads}), got "
                f"{size}"
            )
        if self.positions == "sinusoidal" and size % 2:
            raise ValueError(f"hidden_dim must be even with sinusoidal positions, got {size}")


class PositionalEncoding(nn.Module):
    """Add a vector for its position to each step, then drop features.

    Source: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, section 3.5.

    Args:
        size: Features of a step.
        options: Options of the Transformer; `positions` and `max_positions` are used here.
        dropout: Probability of dropping a feature.
    """

    def __init__(self, size: int, options: TransformerOptions, dropout: float = 0.0) -> None:
        super().__init__()
        self.size, self.max_positions = size, options.max_positions
        self.learned: nn.Embedding | None = None
        if options.positions == "learned":
            self.learned = nn.Embedding(options.max_positions, size)
            nn.init.normal_(self.learned.weight, std=0.02)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """Encode positions of `(batch, time, size)`, the first of which is `start`.

        Raises:
            UserError: If there are more positions than learned vectors.
        """
        end = start + x.size(1)
        if self.learned is None:
            encoding = sinusoids(start, end, self.size, x.device)
        elif end > self.max_positions:
            raise UserError(
                f"learned positions end at transformer.max_positions ({self.max_positions}), got a "
                f"sequence of {end}: set a larger number, or transformer.positions=sinusoidal"
            )
        else:
            encoding = self.learned.weight[start:end]
        encoded: Tensor = self.dropout(x + encoding.to(x.dtype))
        return encoded


def sinusoids(start: int, end: int, size: int, device: torch.device | None = None) -> Tensor:
    """Compute sinusoidal encodings of positions, `(end - start, size)` float32.

    Source: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, section 3.5. All sines are
    followed by all cosines; the paper has them in turn, which only permutes the features.
    """
    steps = torch.arange(start, end, device=device, dtype=torch.float32).unsqueeze(1)
    pairs = torch.arange(size // 2, device=device, dtype=torch.float32)
    angles = steps * torch.exp(pairs * (-2 * math.log(10_000.0) / size))
    return torch.cat([angles.sin(), angles.cos()], 1)


class TransformerEncoder(nn.Module):
    """Stacked self-attention layers over sequences; padding is never read.

    Source: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, section 3; Xiong et al. (2020),
    https://arxiv.org/abs/2002.04745, for `norm_first`.

    Args:
        size: Features of input and output.
        num_layers: Number of stacked layers.
        options: Options of the layers.
        dropout: Dropout probability of positions and sublayers.

    Attributes:
        output_size: Features of the output.

    Raises:
        ValueError: If the heads do not divide the features.
    """

    def __init__(
        self, size: int, num_layers: int, options: TransformerOptions, dropout: float = 0.0
    ) -> None:
        super().__init__()
        options.check_size(size)
        self.output_size = size
        self.positions = PositionalEncoding(size, options, dropout)
        layers = (
            nn.TransformerEncoderLayer(
                size,
                options.num_heads,
                options.feedforward_dim or 4 * size,
                dropout,
                batch_first=True,
                norm_first=options.norm_first,
            )
            for _ in range(num_layers)
        )
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(size) if options.norm_first else nn.Identity()

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Encode sequences.

        Args:
            x: Features, `(batch, time, size)`.
            lengths: Real steps of each sequence, `(batch,)` on the CPU; None: all rows are full.

        Returns:
            `(batch, time, size)`; its values on padding have no meaning.
        """
        padding = None if lengths is None else ~lengths_to_mask(lengths, x.size(1), x.device)
        x = self.positions(x)
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=padding)
        encoded: Tensor = self.norm(x)
        return encoded
