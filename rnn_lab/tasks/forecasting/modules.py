"""Parts of forecasters in plain PyTorch: patch embedding and decoders."""

import torch
from torch import Tensor, nn

from rnn_lab.nn.functional.state import State, map_state
from rnn_lab.nn.layers.registry import Layer


class PatchEmbedding(nn.Module):
    """Embed non-overlapping patches of steps: a linear layer and ReLU over each patch.

    Source: Lin et al. (2023), https://arxiv.org/abs/2308.11200, section 3.1.

    Args:
        input_size: Features per step.
        patch_length: Steps per patch.
        embedding_size: Features per patch.
    """

    def __init__(self, input_size: int, patch_length: int, embedding_size: int) -> None:
        super().__init__()
        self.patch_length = patch_length
        self.linear = nn.Linear(input_size * patch_length, embedding_size)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, time, input_size)` to `(batch, time // patch_length, embedding_size)`.

        If the length is no multiple of `patch_length`, the first steps are dropped.
        """
        x = x[:, x.size(1) % self.patch_length :]
        return torch.relu(self.linear(x.unflatten(1, (-1, self.patch_length)).flatten(2)))


class DirectDecoder(nn.Module):
    """Predict all steps of the horizon at once from the final hidden state.

    The covariates of each future step contribute through a small MLP of their own.

    Args:
        hidden_size: Features of the hidden state.
        horizon: Steps to forecast.
        output_size: Outputs per step.
        future_dim: Future covariates per step.
        dropout: Probability of dropout on the hidden state.
    """

    def __init__(
        self, hidden_size: int, horizon: int, output_size: int, future_dim: int, dropout: float
    ) -> None:
        super().__init__()
        self.horizon = horizon
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(hidden_size, horizon * output_size)
        self.covariates = _covariate_mlp(future_dim, hidden_size, output_size)

    def forward(self, state: Tensor, future: Tensor) -> Tensor:
        """Decode.

        Args:
            state: Hidden state after the last step, `(rows, hidden_size)`.
            future: Future covariates, `(rows, horizon, future_dim)`.

        Returns:
            `(rows, horizon, output_size)`.
        """
        output = self.linear(self.dropout(state)).unflatten(1, (self.horizon, -1))
        return output if self.covariates is None else output + self.covariates(future)


def _covariate_mlp(future_dim: int, hidden_size: int, output_size: int) -> nn.Module | None:
    if not future_dim:
        return None
    first, last = nn.Linear(future_dim, hidden_size), nn.Linear(hidden_size, output_size)
    return nn.Sequential(first, nn.ReLU(), last)


class PatchDecoder(nn.Module):
    """Predict the patches of the horizon in parallel, each by one step from the final state.

    The input of each step is the embedding of the position of its patch and, if several channels
    share the weights, of its channel. The recurrent layer that encoded the window is reused.

    Source: Lin et al. (2023), https://arxiv.org/abs/2308.11200, section 3.2.

    Args:
        hidden_size: Features of the hidden state, even if there are several channels.
        horizon: Steps to forecast.
        patch_length: Steps per patch.
        output_size: Outputs per step.
        channels: Channels that share the weights; one if there is no channel embedding.
        future_dim: Future covariates per step.
        dropout: Probability of dropout on the output of each step.

    Raises:
        ValueError: If the hidden size is odd and there are several channels.
    """

    def __init__(
        self,
        hidden_size: int,
        horizon: int,
        patch_length: int,
        output_size: int,
        channels: int,
        future_dim: int,
        dropout: float,
    ) -> None:
        super().__init__()
        if channels > 1 and hidden_size % 2:
            raise ValueError(
                f"hidden_dim must be even to hold position and channel embeddings, "
                f"got {hidden_size}"
            )
        self.horizon, self.output_size = horizon, output_size
        patches = -(-horizon // patch_length)
        embedding_size = hidden_size // 2 if channels > 1 else hidden_size
        self.position = nn.Parameter(torch.randn(patches, embedding_size))
        self.channel = nn.Parameter(torch.randn(channels, embedding_size)) if channels > 1 else None
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(hidden_size, patch_length * output_size)
        self.covariates = _covariate_mlp(future_dim, hidden_size, output_size)

    def forward(self, layer: Layer, state: State, future: Tensor) -> Tensor:
        """Decode.

        Args:
            layer: The recurrent layer that encoded the window.
            state: Its final state, rows on axis 1; rows of the channels of one window are
                adjacent.
            future: Future covariates, `(rows, horizon, future_dim)`.

        Returns:
            `(rows, horizon, output_size)`.
        """
        patches = len(self.position)
        rows = len(future)
        queries = self.position.expand(rows, -1, -1)
        if self.channel is not None:
            channels = self.channel.repeat(rows // len(self.channel), 1)
            queries = torch.cat([queries, channels.unsqueeze(1).expand(-1, patches, -1)], 2)
        repeated = map_state(state, lambda part: part.repeat_interleave(patches, 1))
        hidden, _ = layer(queries.flatten(0, 1).unsqueeze(1), None, repeated)
        output = self.linear(self.dropout(hidden.squeeze(1)))  # (rows * patches, patch * output)
        output = output.view(rows, -1, self.output_size)[:, : self.horizon]
        return output if self.covariates is None else output + self.covariates(future)
