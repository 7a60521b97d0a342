"""The code that all recurrent forecasters share."""

from abc import abstractmethod
from typing import Literal, get_args

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from rnn_lab.core.options import as_options
from rnn_lab.core.task import StepOutput, check_sizes
from rnn_lab.errors import UserError
from rnn_lab.nn import build_layer
from rnn_lab.nn.functional.state import State, map_state
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.metrics import Forecast
from rnn_lab.tasks.forecasting.modules import DirectDecoder, PatchDecoder, PatchEmbedding
from rnn_lab.tasks.forecasting.normalization import WindowNormalization, normalize
from rnn_lab.tasks.forecasting.options import (
    Covariates,
    Dropouts,
    EncoderOptions,
    OutputOptions,
)
from rnn_lab.tasks.forecasting.outputs import (
    LEVELS,
    Distribution,
    DistributionParams,
)
from rnn_lab.tasks.forecasting.task import ForecastTask, split_output_dim

Decoding = Literal["direct", "recursive", "parallel"]
MAX_EMBEDDING_DIM = 16  # features of a categorical covariate


class BaseForecaster(ForecastTask):
    """Normalize a window, encode it with a recurrent layer, decode the horizon.

    What makes an architecture is a class attribute. `Forecaster` takes all of them as arguments.

    Args:
        input_dim: Features per step: the target channels first, then future covariates, then past
            covariates.
        hidden_dim: Features of the hidden state; None takes the default of the architecture.
        num_layers: Number of stacked recurrent layers; None takes the default of the architecture.
        output_dim: Numbers to forecast: horizon times channels.
        horizon: Steps to forecast; None takes `output_dim`, that is, one channel.
        covariates: Sizes of the covariates; linked from the data.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Attributes:
        layer: Recurrent layer by its name in `rnn_lab.nn.LAYERS`.
        default_hidden_dim: Features of the hidden state by default.
        default_num_layers: Number of recurrent layers by default.
        decoding: See `Forecaster`.
        encoder: How the layer encodes a window.
        output_type: See `output` of `Forecaster`.
        output_options: Options of the output.
        dropouts: Probabilities of dropout.

    Raises:
        UserError: If an argument is invalid, or the data does not provide a size.
    """

    default_hidden_dim: int = 64
    default_num_layers: int = 1
    decoding: Decoding = "direct"
    encoder: EncoderOptions = EncoderOptions()
    output_type: str = "point"
    output_options: OutputOptions = OutputOptions()
    dropouts: Dropouts = Dropouts()

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int | None = None,
        num_layers: int | None = None,
        output_dim: int = 1,
        *,
        horizon: int | None = None,
        covariates: Covariates | None = None,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        hidden_dim = self.default_hidden_dim if hidden_dim is None else hidden_dim
        num_layers = self.default_num_layers if num_layers is None else num_layers
        patch_length, num_samples = self.encoder.patch_length, self.output_options.num_samples
        sizes = {"input_dim": input_dim, "hidden_dim": hidden_dim, "num_layers": num_layers}
        check_sizes(
            self, **sizes, output_dim=output_dim, patch_length=patch_length, num_samples=num_samples
        )
        self.horizon, self.channels = split_output_dim(output_dim, horizon)
        if input_dim < self.channels:
            raise UserError(
                f"{self.channels} target channels need input_dim of at least {self.channels}, "
                f"got {input_dim}"
            )
        self.covariates = as_options(Covariates, covariates)
        category_sizes = self.covariates.category_sizes
        past_dim = input_dim - self.channels - self.covariates.future_dim
        _check_decoding(self.decoding, patch_length, past_dim, self.output_type)
        self.output = self.output_options.build(self.output_type, self.encoder.normalization)
        self.normalization = WindowNormalization(self.encoder.normalization, self.channels)
        embedding_dims = [min(MAX_EMBEDDING_DIM, size) for size in category_sizes]
        self.categories = nn.ModuleList(map(nn.Embedding, category_sizes, embedding_dims))
        static_dim = self.covariates.static_dim + sum(embedding_dims)
        step_channels = 1 if self.encoder.channel_independent else self.channels
        step_dim = step_channels + input_dim - self.channels + static_dim
        self.embedding = (
            PatchEmbedding(step_dim, patch_length, hidden_dim) if patch_length > 1 else None
        )
        self.recurrent = build_layer(
            self.layer,
            step_dim if self.embedding is None else hidden_dim,
            hidden_dim,
            num_layers,
            self.dropouts.layer,
            initialization=self.encoder.initialization,
            options=self.encoder.layer_kwargs,
        )
        output_size = self.output.size * step_channels
        future_dim = self.covariates.future_dim
        future_dim = future_dim + static_dim if future_dim else 0
        head_dropout = self.dropouts.head
        if self.decoding == "parallel":
            sharing = self.channels if self.encoder.channel_independent else 1
            patch_sizes = patch_length, output_size, sharing, future_dim
            self.decoder: nn.Module = PatchDecoder(
                hidden_dim, self.horizon, *patch_sizes, head_dropout
            )
        else:
            steps, future_dim = (
                (1, 0) if self.decoding == "recursive" else (self.horizon, future_dim)
            )
            self.decoder = DirectDecoder(hidden_dim, steps, output_size, future_dim, head_dropout)

    @property
    @abstractmethod
    def layer(self) -> str:
        """Recurrent layer by its name in `rnn_lab.nn.LAYERS`."""

    def forward(self, x: Tensor) -> Tensor:
        """Forecast windows without covariates of the future or of the series.

        Args:
            x: Windows, `(batch, time, input_dim)`: the target channels, then covariates.

        Returns:
            The point forecast, `(batch, output_dim)`: for each step all channels.
        """
        past, features = x.split([self.channels, x.size(2) - self.channels], 2)
        rows, one = torch.arange(len(x)), x.new_ones(len(x), self.channels)
        batch = WindowBatch(
            past,
            x.new_full((len(x), self.horizon, self.channels), torch.nan),
            features,
            x.new_zeros(len(x), self.horizon, self.covariates.future_dim),
            x.new_zeros(len(x), self.covariates.static_dim),
            rows.new_zeros(len(x), len(self.categories)).to(x.device),
            0 * one,
            one,
            one,
            rows,
        )
        return self.output.point(self.predict_params(batch)).flatten(1)

    def predict_params(self, batch: WindowBatch) -> DistributionParams:
        """Compute the parameters of the output, each `(batch, horizon, channels)`.

        With recursive decoding these are the point forecasts.
        """
        if self.decoding == "recursive":
            return (self._decode_autoregressive(batch),)
        past, location, scale = self.normalization(batch.past)
        static = self._static_features(batch)
        x = self._step_inputs(past, torch.nan_to_num(batch.past_features), static)
        future = self._repeat_per_channel(batch.future_features)
        if static is not None and self.covariates.future_dim:
            future = torch.cat([future, static.unsqueeze(1).expand(-1, self.horizon, -1)], 2)
        future = future.to(x.dtype)
        output, state = self.recurrent(x if self.embedding is None else self.embedding(x))
        if self.decoding == "parallel":
            raw = self.decoder(self.recurrent, state, future)
        else:
            raw = self.decoder(output[:, -1], future)
        return self.output.to_params(self._to_channels(raw).to(location), location, scale)

    def _static_features(self, batch: WindowBatch) -> Tensor | None:
        """Join static covariates and embedded categories, `(rows, features)`."""
        columns = batch.category_codes.unbind(1)
        embedded = (embed(ids) for embed, ids in zip(self.categories, columns, strict=True))
        features = torch.cat([batch.static, *embedded], 1)
        return self._repeat_per_channel(features) if features.size(1) else None

    def _split_channels(self, x: Tensor) -> Tensor:
        """Make each channel a row, if channels are independent."""
        if not self.encoder.channel_independent:
            return x
        return x.transpose(1, 2).flatten(0, 1).unsqueeze(2)

    def _repeat_per_channel(self, x: Tensor) -> Tensor:
        """Repeat what all channels share, if channels are independent."""
        return x.repeat_interleave(self.channels, 0) if self.encoder.channel_independent else x

    def _to_channels(self, raw: Tensor) -> Tensor:
        """Reshape `(rows, steps, outputs)` to `(batch, steps, channels, size)`."""
        raw = raw.unflatten(2, (-1, self.output.size))
        if not self.encoder.channel_independent:
            return raw
        return raw.squeeze(2).unflatten(0, (-1, self.channels)).transpose(1, 2)

    # Recursive decoding.

    def step(self, batch: WindowBatch) -> StepOutput:
        """Compute the loss of a batch, with teacher forcing if decoding is recursive.

        In evaluation, recursive point forecasts are scored without teacher forcing.
        """
        if self.decoding != "recursive":
            return super().step(batch)
        if self.training:
            return self._step_output(self._teacher_forced(batch), batch, None)
        forecast = self.forecast(batch)
        params = self._teacher_forced(batch) if self.output.probabilistic else (forecast.point,)
        return self._step_output(params, batch, forecast)

    def forecast(self, batch: WindowBatch, levels: tuple[float, ...] = LEVELS) -> Forecast:
        """Forecast the steps after the windows of a batch, see `ForecastTask`.

        If a distribution is decoded recursively, `num_samples` paths are sampled, with common
        random numbers for all windows, so that a forecast does not depend on its batch.
        """
        if self.decoding != "recursive" or not self.output.probabilistic:
            return super().forecast(batch, levels)
        paths = self._decode_autoregressive(batch, self._sample_ranks())
        paths = paths.unflatten(0, (-1, self.output_options.num_samples))
        assert isinstance(self.output, Distribution)
        return Forecast(paths.mean(1), self.output.sample_quantiles(paths, levels), levels)

    def _sample_ranks(self) -> Tensor:
        """Draw the quantile rank of each path at each step, `(num_samples, horizon)`."""
        generator = torch.Generator().manual_seed(0)
        size = self.output_options.num_samples, self.horizon
        return torch.rand(*size, generator=generator).argsort(0)

    def _step_inputs(self, values: Tensor, features: Tensor, static: Tensor | None) -> Tensor:
        """Join values, covariates and static features per step, `(rows, steps, step_dim)`."""
        parts = [self._split_channels(values), self._repeat_per_channel(features)]
        if static is not None:
            parts.append(static.unsqueeze(1).expand(-1, values.size(1), -1))
        inputs = torch.cat([part for part in parts if part.size(2)], 2)
        return inputs.to(next(self.decoder.parameters()).dtype)

    def _teacher_forced(self, batch: WindowBatch) -> DistributionParams:
        """Predict each step of the horizon from the true values before it, in one pass."""
        past, location, scale = self.normalization(batch.past)
        future = torch.nan_to_num(normalize(batch.future, location, scale))
        values = torch.cat([past, future], 1)[:, :-1]
        features = torch.cat([batch.past_features, batch.future_features], 1)[:, 1:]
        inputs = self._step_inputs(values, features, self._static_features(batch))
        output, _ = self.recurrent(inputs)
        return self._step_params(output[:, -self.horizon :], location, scale)

    def _step_params(self, output: Tensor, location: Tensor, scale: Tensor) -> DistributionParams:
        """Decode the output of the recurrent layer at each step."""
        raw = self.decoder(output.flatten(0, 1), output.new_zeros(0))
        raw = raw.view(*output.shape[:2], -1)
        return self.output.to_params(self._to_channels(raw).to(location), location, scale)

    def _decode_autoregressive(self, batch: WindowBatch, ranks: Tensor | None = None) -> Tensor:
        """Feed back point forecasts or samples, step by step.

        Args:
            batch: Windows.
            ranks: Quantile rank of the sample of each path at each step, `(paths, horizon)`; None
                feeds back the point forecast on a single path.

        Returns:
            `(batch * paths, horizon, channels)`; the paths of a window are adjacent.
        """
        past, location, scale = self.normalization(batch.past)
        features = torch.cat([batch.past_features, batch.future_features], 1)[:, 1:]
        static = self._static_features(batch)
        output, state = self.recurrent(self._step_inputs(past, features[:, : past.size(1)], static))
        output = output[:, -1:]
        paths = 1 if ranks is None else len(ranks)
        if ranks is not None:
            levels = [(i + 0.5) / paths for i in range(paths)]
            ranks = ranks.repeat(len(past), 1).to(past.device)
            location, scale, features = (
                part.repeat_interleave(paths, 0) for part in (location, scale, features)
            )
            output, state, static = self._repeat_per_path(output, state, static, paths)
        values = []
        for step in range(self.horizon):
            params = self._step_params(output, location, scale)
            value = self.output.point(params)
            if ranks is not None and isinstance(self.output, Distribution):
                value = self.output.icdf(params, levels, ranks[:, step].view(-1, 1, 1))
            values.append(value)
            known = features[:, past.size(1) + step : past.size(1) + step + 1]
            if step + 1 < self.horizon:
                x = self._step_inputs(normalize(value, location, scale), known, static)
                output, state = self.recurrent.step(x.squeeze(1), state)
                output = output.unsqueeze(1)
        return torch.cat(values, 1)

    def _repeat_per_path(
        self, output: Tensor, state: State, static: Tensor | None, paths: int
    ) -> tuple[Tensor, State, Tensor | None]:
        """Repeat the rows of each window for its paths; channels stay adjacent."""
        rows = self.channels if self.encoder.channel_independent else 1

        def repeat(x: Tensor, axis: int) -> Tensor:
            windows = x.unflatten(axis, (-1, 1, rows))
            shape = [-1] * windows.ndim
            shape[axis + 1] = paths
            return windows.expand(shape).flatten(axis, axis + 2)

        state = map_state(state, lambda part: repeat(part, 1))
        return repeat(output, 0), state, None if static is None else repeat(static, 0)


def _check_decoding(decoding: str, patch_length: int, past_dim: int, output: str) -> None:
    if decoding not in get_args(Decoding):
        names = ", ".join(get_args(Decoding))
        raise UserError(f"decoding must be one of {names}, got {decoding!r}")
    if decoding == "parallel" and patch_length == 1:
        raise UserError("decoding=parallel needs encoder.patch_length above 1, got 1")
    if decoding == "recursive" and patch_length > 1:
        raise UserError(
            f"decoding=recursive decodes single steps and needs encoder.patch_length=1, "
            f"got {patch_length}"
        )
    if decoding == "recursive" and past_dim:
        raise UserError(
            f"decoding=recursive does not support past covariates, got {past_dim}: choose "
            "decoding=direct"
        )
    if decoding == "recursive" and output == "quantiles":
        raise UserError(
            "decoding=recursive samples what it feeds back, which output=quantiles does not "
            "support beyond its outermost levels: choose a distribution, or decoding=direct"
        )
