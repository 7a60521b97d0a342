"""A Transformer over patches for forecasting."""

from dataclasses import replace

import torch.nn.functional as F
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from rnn_lab.core.options import as_options
from rnn_lab.core.task import check_sizes
from rnn_lab.errors import UserError
from rnn_lab.nn.transformer import TransformerEncoder, TransformerOptions
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.normalization import WindowNormalization
from rnn_lab.tasks.forecasting.options import Dropouts, OutputOptions
from rnn_lab.tasks.forecasting.outputs import DistributionParams
from rnn_lab.tasks.forecasting.task import ForecastTask, split_output_dim


class TransformerForecaster(ForecastTask):
    """Forecaster on a Transformer encoder over overlapping patches of each channel (PatchTST).

    Each channel is forecast from its own past only, with shared weights; covariates are not read.
    A linear layer decodes all steps from the encoded patches. The paper normalizes batches between
    the layers; this model normalizes layers, so that no window depends on others.

    Source: Nie et al. (2023), https://arxiv.org/abs/2211.14730, section 3.1.

    Args:
        input_length: Steps of the input window.
        hidden_dim: Features of each layer.
        num_layers: Number of stacked layers.
        output_dim: Numbers to forecast: horizon times channels.
        horizon: Steps to forecast; None takes `output_dim`, that is, one channel.
        patch_length: Steps per patch.
        stride: Steps from the beginning of a patch to that of the next; the last value is repeated
            as often at the end of the window.
        normalization: Normalization of each window, see `WindowNormalization`.
        output: What is predicted for each value: `point`, `quantiles`, `gaussian`, `student_t` or
            `negative_binomial`.
        output_options: Options of the output.
        transformer: Options of the layers; there is a learned position for each patch.
        dropouts: Probabilities of dropout.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Raises:
        UserError: If an argument is invalid, or the data does not provide a size.
    """

    def __init__(  # noqa: PLR0913  # 12 options, optimizer and scheduler
        self,
        input_length: int,
        hidden_dim: int = 64,
        num_layers: int = 3,
        output_dim: int = 1,
        *,
        horizon: int | None = None,
        patch_length: int = 16,
        stride: int = 8,
        normalization: str = "standard",
        output: str = "point",
        output_options: OutputOptions | None = None,
        transformer: TransformerOptions | None = None,
        dropouts: Dropouts | None = None,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        sizes = {"input_length": input_length, "hidden_dim": hidden_dim, "num_layers": num_layers}
        check_sizes(self, **sizes, output_dim=output_dim, patch_length=patch_length, stride=stride)
        if patch_length > input_length:
            raise UserError(
                f"patch_length must be at most input_length ({input_length}), got {patch_length}"
            )
        self.horizon, self.channels = split_output_dim(output_dim, horizon)
        self.output = as_options(OutputOptions, output_options).build(output, normalization)
        self.patch_length, self.stride = patch_length, stride
        patches = (input_length - patch_length) // stride + 2
        dropouts = as_options(Dropouts, dropouts)
        options = replace(as_options(TransformerOptions, transformer), max_positions=patches)
        try:
            self.normalization = WindowNormalization(normalization, self.channels)
            self.encoder = TransformerEncoder(hidden_dim, num_layers, options, dropouts.layer)
        except ValueError as error:
            raise UserError(str(error)) from error
        self.embedding = nn.Linear(patch_length, hidden_dim)
        self.dropout = nn.Dropout(dropouts.head)
        self.head = nn.Linear(patches * hidden_dim, self.horizon * self.output.size)

    def forward(self, x: Tensor) -> Tensor:
        """Map windows `(batch, input_length, channels)` to forecasts `(batch, output_dim)`."""
        return self.output.point(self._params(x)).flatten(1)

    def predict_params(self, batch: WindowBatch) -> DistributionParams:
        """Compute the parameters of the output, each `(batch, horizon, channels)`."""
        return self._params(batch.past)

    def _params(self, past: Tensor) -> DistributionParams:
        x, location, scale = self.normalization(past)
        rows = x.transpose(1, 2).flatten(0, 1)
        rows = F.pad(rows.unsqueeze(1), (0, self.stride), "replicate").squeeze(1)
        patches = rows.unfold(1, self.patch_length, self.stride).to(self.embedding.weight.dtype)
        encoded = self.encoder(self.embedding(patches)).flatten(1)
        raw = self.head(self.dropout(encoded)).unflatten(1, (self.horizon, self.output.size))
        raw = raw.unflatten(0, (-1, self.channels)).transpose(1, 2).to(location)
        return self.output.to_params(raw, location, scale)
