"""Forecasters of time series: one family, and its named architectures."""

from typing import Any, Literal, get_args

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from rnn_lab.core.task import StepOutput, check_sizes
from rnn_lab.errors import UserError
from rnn_lab.nn import build_layer
from rnn_lab.nn.functional.state import State, map_state
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.metrics import Forecast
from rnn_lab.tasks.forecasting.modules import (
    DirectDecoder,
    SegmentDecoder,
    SegmentEmbedding,
    WindowScaling,
)
from rnn_lab.tasks.forecasting.outputs import LEVELS, Output, Parameters, output
from rnn_lab.tasks.forecasting.task import ForecastTask, steps_and_channels

Decoding = Literal["direct", "recursive", "segments"]


class Forecaster(ForecastTask):
    """Forecast a series: scale the window, read it with a recurrent layer, decode the horizon.

    The family of all recurrent forecasters, for comparisons and sweeps; the named architectures
    below fix most of its arguments.

    Args:
        input_dim: Features of a step: the channels to be forecast, then what else is seen.
        hidden_dim: Features of the state.
        num_layers: Recurrent layers on top of each other.
        output_dim: Numbers forecast from a window, horizon times channels.
        horizon: Steps to forecast; None: as many as `output_dim`, of one channel.
        layer: Recurrent layer by its name in `rnn_lab.nn.LAYERS`.
        layer_kwargs: What that layer takes by name beside its sizes, such as `zoneout`.
        segment: Steps that are read as one; 1 reads step by step.
        decoding: `direct` (all steps from the final state), `recursive` (one step after the other,
            each fed back; the true values in training) or `segments` (a segment at a time from the
            final state, side by side, as in SegRNN).
        independent: Whether each channel is forecast from itself alone, with the same weights;
            else all channels jointly.
        normalization: How each window is scaled, see `WindowScaling`: `none`, `last`, `mean`,
            `standard` or `revin`.
        output: What is said of a value to come: `point`, `quantiles`, `gaussian`, `student_t` or
            `negative_binomial`.
        loss: What a point minimizes: `mse`, `mae` or `huber`.
        quantiles: Levels of the output `quantiles`; None: 2.5 %, 5 % and so on to 97.5 %.
        samples: Paths drawn in evaluation, where a distribution is decoded recursively.
        layer_dropout: Dropout between recurrent layers.
        head_dropout: Dropout before the last linear layer.
        initialization: `recommended` or `torch` (torch's own), see `rnn_lab.nn.build_layer`.
        known_dim: Features known of the steps to come; the data says it.
        static_dim: Numbers that describe a series; the data says it.
        category_sizes: Levels of each category that describes a series; the data says it.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Raises:
        UserError: If an argument has no meaning, or the data does not give a size.
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int = 64,
        num_layers: int = 1,
        output_dim: int = 1,
        *,
        horizon: int | None = None,
        layer: str = "LSTM",
        layer_kwargs: dict[str, Any] | None = None,
        segment: int = 1,
        decoding: Decoding = "direct",
        independent: bool = True,
        normalization: str = "standard",
        output: str = "point",
        loss: str = "mse",
        quantiles: list[float] | None = None,
        samples: int = 100,
        layer_dropout: float = 0.2,
        head_dropout: float = 0.0,
        initialization: Literal["recommended", "torch"] = "recommended",
        known_dim: int = 0,
        static_dim: int = 0,
        category_sizes: list[int] | None = None,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        sizes = {"input_dim": input_dim, "hidden_dim": hidden_dim, "num_layers": num_layers}
        check_sizes(self, **sizes, output_dim=output_dim, segment=segment, samples=samples)
        self.horizon, self.channels = steps_and_channels(output_dim, horizon)
        if input_dim < self.channels:
            raise UserError(f"{self.channels} channels need as many inputs, got {input_dim}")
        self._check_decoding(decoding, segment, input_dim - self.channels - known_dim, output)
        self.output = _output(output, loss, quantiles, normalization)
        self.independent, self.decoding, self.samples = independent, decoding, samples
        self.known_dim, self.static_dim = known_dim, static_dim
        self.scaling = WindowScaling(normalization, self.channels)
        self.categories = nn.ModuleList(
            nn.Embedding(size, min(16, size)) for size in category_sizes or []
        )
        described = static_dim + sum(min(16, size) for size in category_sizes or [])
        width = (1 if independent else self.channels) + input_dim - self.channels + described
        self.embedding = SegmentEmbedding(width, segment, hidden_dim) if segment > 1 else None
        self.recurrent = build_layer(
            layer,
            width if self.embedding is None else hidden_dim,
            hidden_dim,
            num_layers,
            layer_dropout,
            initialization=initialization,
            options=layer_kwargs,
        )
        size = self.output.size * (1 if independent else self.channels)
        known = known_dim + described if known_dim else 0
        if decoding == "segments":
            apart = self.channels if independent else 1
            self.decoder: nn.Module = SegmentDecoder(
                hidden_dim, self.horizon, segment, size, apart, known, head_dropout
            )
        else:
            steps, known = (1, 0) if decoding == "recursive" else (self.horizon, known)
            self.decoder = DirectDecoder(hidden_dim, steps, size, known, head_dropout)

    def _check_decoding(self, decoding: str, segment: int, observed: int, output: str) -> None:
        if decoding not in get_args(Decoding):
            names = ", ".join(get_args(Decoding))
            raise UserError(f"decoding must be one of {names}, got {decoding!r}")
        if decoding == "segments" and segment == 1:
            raise UserError("decoding=segments needs a segment above 1, got 1")
        if decoding == "recursive" and segment > 1:
            raise UserError(f"decoding=recursive goes step by step, got segment={segment}")
        if decoding == "recursive" and observed:
            raise UserError(
                "decoding=recursive has to know every feature beforehand, and "
                f"{observed} are only observed: choose decoding=direct"
            )
        if decoding == "recursive" and output == "quantiles":
            raise UserError(
                "decoding=recursive draws what it feeds back, and nothing is known beyond the "
                "outermost quantiles: choose a distribution, or decoding=direct"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Forecast windows of which nothing else is known.

        Args:
            x: Windows, `(batch, time, input_dim)`: the channels, then what else is seen.

        Returns:
            The forecast as numbers, `(batch, output_dim)`: step by step, in each all channels.
        """
        nothing = x.new_zeros(len(x), self.horizon, self.known_dim)
        past, features = x.split([self.channels, x.size(2) - self.channels], 2)
        future = x.new_full((len(x), self.horizon, self.channels), torch.nan)
        one, rows = x.new_ones(len(x), self.channels), torch.arange(len(x))
        static = x.new_zeros(len(x), self.static_dim)
        unknown = rows.new_zeros(len(x), len(self.categories)).to(x.device)
        batch = WindowBatch(
            past, future, features, nothing, static, unknown, 0 * one, one, one, rows
        )
        return self.output.point(self.parameters_of(batch)).flatten(1)

    def parameters_of(self, batch: WindowBatch) -> Parameters:
        """Read a batch: the parameters of the output, each `(batch, horizon, channels)`."""
        if self.decoding == "recursive":
            return (self._walked(batch),)  # of a distribution its middle
        past, location, scale = self.scaling(batch.past)
        described = self._described(batch)
        x = self._steps(past, torch.nan_to_num(batch.past_features), described)
        known = self._folded(batch.future_features)
        if described is not None and self.known_dim:
            known = torch.cat([known, described.unsqueeze(1).expand(-1, self.horizon, -1)], 2)
        output, state = self.recurrent(x if self.embedding is None else self.embedding(x))
        if self.decoding == "segments":
            raw = self.decoder(self.recurrent, state, known)
        else:
            raw = self.decoder(output[:, -1], known)
        return self.output.place(self._unfolded(raw).to(location), location, scale)

    def _described(self, batch: WindowBatch) -> Tensor | None:
        columns = batch.categories.unbind(1)
        looked_up = zip(self.categories, columns, strict=True)
        parts = [batch.static, *(embed(column) for embed, column in looked_up)]
        described = torch.cat(parts, 1)
        return self._folded(described) if described.size(1) else None

    def _channels(self, x: Tensor) -> Tensor:
        """Make each channel a row of its own, where they are independent."""
        return x.transpose(1, 2).flatten(0, 1).unsqueeze(2) if self.independent else x

    def _folded(self, x: Tensor) -> Tensor:
        """Repeat what all channels see, where they are independent."""
        return x.repeat_interleave(self.channels, 0) if self.independent else x

    def _unfolded(self, raw: Tensor) -> Tensor:
        """From `(rows, steps, numbers)` to `(batch, steps, channels, size)`."""
        raw = raw.unflatten(2, (-1, self.output.size))
        if not self.independent:
            return raw
        return raw.squeeze(2).unflatten(0, (-1, self.channels)).transpose(1, 2)

    # One step after the other.

    def step(self, batch: WindowBatch) -> StepOutput:
        """Score a batch; where steps are fed back, by the true values before each step.

        In evaluation a point that is decoded recursively is scored as it is forecast.
        """
        if self.decoding != "recursive":
            return super().step(batch)
        if self.training:
            return self._scores(self._taught(batch), batch, None)
        forecast = self.forecast(batch)
        free = not self.output.probabilistic
        return self._scores((forecast.point,) if free else self._taught(batch), batch, forecast)

    def forecast(self, batch: WindowBatch, levels: tuple[float, ...] = LEVELS) -> Forecast:
        """Forecast the steps after the windows of a batch, see `ForecastTask`.

        Where a distribution is decoded recursively, `samples` paths are drawn, with the same
        chances for every window: what is said of one does not hang on its batch.
        """
        if self.decoding != "recursive" or not self.output.probabilistic:
            return super().forecast(batch, levels)
        paths = self._walked(batch, self._ranks()).unflatten(0, (-1, self.samples))
        wanted = paths.new_tensor(levels)
        return Forecast(paths.mean(1), paths.quantile(wanted, 1).movedim(0, -1), levels)

    def _ranks(self) -> Tensor:
        """Which of `samples` chances each path draws at each step, `(samples, horizon)`."""
        generator = torch.Generator().manual_seed(0)
        return torch.rand(self.samples, self.horizon, generator=generator).argsort(0)

    def _steps(self, values: Tensor, features: Tensor, described: Tensor | None) -> Tensor:
        """The values before and what is known of each step to come, `(rows, steps, width)`."""
        parts = [self._channels(values), self._folded(features)]
        if described is not None:
            parts.append(described.unsqueeze(1).expand(-1, values.size(1), -1))
        return torch.cat([part for part in parts if part.size(2)], 2)

    def _taught(self, batch: WindowBatch) -> Parameters:
        """Read the true values before each step of the horizon, all in one call."""
        past, location, scale = self.scaling(batch.past)
        future = torch.nan_to_num((batch.future - location) / scale)
        values = torch.cat([past, future], 1)[:, :-1]
        features = torch.cat([batch.past_features, batch.future_features], 1)[:, 1:]
        output, _ = self.recurrent(self._steps(values, features, self._described(batch)))
        return self._read(output[:, -self.horizon :], location, scale)

    def _read(self, output: Tensor, location: Tensor, scale: Tensor) -> Parameters:
        """Make the parameters of the output from what the layer says at each step."""
        raw = self.decoder(output.flatten(0, 1), output.new_zeros(0))
        raw = raw.view(*output.shape[:2], -1)
        return self.output.place(self._unfolded(raw).to(location), location, scale)

    def _walked(self, batch: WindowBatch, ranks: Tensor | None = None) -> Tensor:
        """Feed back what is forecast, or what is drawn.

        Args:
            batch: Windows.
            ranks: Which of the chances is drawn on each path at each step, `(paths, horizon)`;
                None feeds back the point, on one path.

        Returns:
            `(batch * paths, horizon, channels)`, the paths of a window as neighbors.
        """
        past, location, scale = self.scaling(batch.past)
        features = torch.cat([batch.past_features, batch.future_features], 1)[:, 1:]
        described = self._described(batch)
        output, state = self.recurrent(self._steps(past, features[:, : past.size(1)], described))
        output = output[:, -1:]
        paths = 1 if ranks is None else len(ranks)
        if ranks is not None:
            levels = [(i + 0.5) / paths for i in range(paths)]
            ranks = ranks.repeat(len(past), 1).to(past.device)
            location, scale, features = (
                part.repeat_interleave(paths, 0) for part in (location, scale, features)
            )
            output, state, described = self._spread(output, state, described, paths)
        found = []
        for step in range(self.horizon):
            parameters = self._read(output, location, scale)
            value = self.output.point(parameters)
            if ranks is not None:
                value = self.output.at(parameters, levels, ranks[:, step].view(-1, 1, 1))
            found.append(value)
            known = features[:, past.size(1) + step : past.size(1) + step + 1]
            if step + 1 < self.horizon:
                x = self._steps((value - location) / scale, known, described)
                output, state = self.recurrent.step(x.squeeze(1), state)
                output = output.unsqueeze(1)
        return torch.cat(found, 1)

    def _spread(
        self, output: Tensor, state: State, described: Tensor | None, paths: int
    ) -> tuple[Tensor, State, Tensor | None]:
        """Give each path of a window its rows; channels stay neighbors."""
        rows = self.channels if self.independent else 1

        def spread(x: Tensor, axis: int) -> Tensor:
            apart = x.unflatten(axis, (-1, 1, rows))
            wide = [-1] * apart.ndim
            wide[axis + 1] = paths
            return apart.expand(wide).flatten(axis, axis + 2)

        state = map_state(state, lambda part: spread(part, 1))
        told = None if described is None else spread(described, 0)
        return spread(output, 0), state, told


def _output(name: str, loss: str, levels: list[float] | None, normalization: str) -> Output:
    """Build an output, and refuse what does not go with it."""
    try:
        made = output(name, loss, levels)
    except ValueError as error:
        raise UserError(str(error)) from error
    if name != "quantiles" and levels is not None:
        raise UserError(f"quantiles are of output=quantiles, got output={name}")
    if name != "point" and loss != "mse":
        raise UserError(f"loss={loss} is of output=point, got output={name}")
    if name == "negative_binomial" and normalization not in ("none", "mean"):
        wish = "choose normalization=mean or none"
        raise UserError(f"counts are scaled, not shifted: {wish}, got {normalization}")
    return made


class LSTMForecaster(Forecaster):
    """Forecast from the final state of an LSTM that reads the window step by step.

    Each channel by itself, scaled by its own window. Source: Hochreiter & Schmidhuber (1997),
    https://doi.org/10.1162/neco.1997.9.8.1735.

    Args:
        input_dim: Features of a step: the channels to be forecast, then what else is seen.
        hidden_dim: Features of the state.
        num_layers: Layers on top of each other, with dropout 0.2 between them.
        output_dim: Numbers forecast from a window, horizon times channels.
        horizon: Steps to forecast; None: as many as `output_dim`, of one channel.
        decoding: `direct` or `recursive`, see `Forecaster`.
        independent: Whether each channel is forecast from itself alone, with the same weights.
        normalization: How each window is scaled, see `Forecaster`.
        output: What is said of a value to come, see `Forecaster`.
        head_dropout: Dropout before the linear layer.
        known_dim: Features known of the steps to come; the data says it.
        static_dim: Numbers that describe a series; the data says it.
        category_sizes: Levels of each category that describes a series; the data says it.
        optimizer: See `Task`.
        scheduler: See `Task`.
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int = 64,
        num_layers: int = 1,
        output_dim: int = 1,
        *,
        horizon: int | None = None,
        decoding: Decoding = "direct",
        independent: bool = True,
        normalization: str = "standard",
        output: str = "point",
        head_dropout: float = 0.5,
        known_dim: int = 0,
        static_dim: int = 0,
        category_sizes: list[int] | None = None,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(
            input_dim,
            hidden_dim,
            num_layers,
            output_dim,
            horizon=horizon,
            decoding=decoding,
            independent=independent,
            normalization=normalization,
            output=output,
            head_dropout=head_dropout,
            known_dim=known_dim,
            static_dim=static_dim,
            category_sizes=category_sizes,
            optimizer=optimizer,
            scheduler=scheduler,
        )


class PatchedLSTMForecaster(Forecaster):
    """Forecast from the final state of an LSTM that reads whole segments as its steps.

    Source: Kong et al. (2024), https://arxiv.org/abs/2408.10006, section 3.1 (patching, channels
    apart) for an LSTM; the segments themselves as Lin et al. (2023).

    Args:
        input_dim: Features of a step: the channels to be forecast, then what else is seen.
        hidden_dim: Features of a segment and of the state.
        num_layers: Layers on top of each other, with dropout 0.2 between them.
        output_dim: Numbers forecast from a window, horizon times channels.
        horizon: Steps to forecast; None: as many as `output_dim`, of one channel.
        segment: Steps of a segment.
        normalization: How each window is scaled, see `Forecaster`.
        output: What is said of a value to come, see `Forecaster`.
        head_dropout: Dropout before the linear layer.
        known_dim: Features known of the steps to come; the data says it.
        static_dim: Numbers that describe a series; the data says it.
        category_sizes: Levels of each category that describes a series; the data says it.
        optimizer: See `Task`.
        scheduler: See `Task`.
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int = 128,
        num_layers: int = 1,
        output_dim: int = 1,
        *,
        horizon: int | None = None,
        segment: int = 24,
        normalization: str = "standard",
        output: str = "point",
        head_dropout: float = 0.3,
        known_dim: int = 0,
        static_dim: int = 0,
        category_sizes: list[int] | None = None,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(
            input_dim,
            hidden_dim,
            num_layers,
            output_dim,
            horizon=horizon,
            segment=segment,
            normalization=normalization,
            output=output,
            head_dropout=head_dropout,
            known_dim=known_dim,
            static_dim=static_dim,
            category_sizes=category_sizes,
            optimizer=optimizer,
            scheduler=scheduler,
        )


class SegRNNForecaster(Forecaster):
    """Read segments with a GRU, and decode all segments of the horizon side by side.

    Source: Lin et al. (2023), https://arxiv.org/abs/2308.11200.

    Args:
        input_dim: Features of a step: the channels to be forecast, then what else is seen.
        hidden_dim: Features of a segment and of the state, an even number.
        output_dim: Numbers forecast from a window, horizon times channels.
        horizon: Steps to forecast; None: as many as `output_dim`, of one channel.
        segment: Steps of a segment.
        normalization: How each window is scaled, see `Forecaster`.
        output: What is said of a value to come, see `Forecaster`.
        head_dropout: Dropout before the linear layer.
        known_dim: Features known of the steps to come; the data says it.
        static_dim: Numbers that describe a series; the data says it.
        category_sizes: Levels of each category that describes a series; the data says it.
        optimizer: See `Task`.
        scheduler: See `Task`.
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int = 512,
        output_dim: int = 1,
        *,
        horizon: int | None = None,
        segment: int = 24,
        normalization: str = "last",
        output: str = "point",
        head_dropout: float = 0.5,
        known_dim: int = 0,
        static_dim: int = 0,
        category_sizes: list[int] | None = None,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(
            input_dim,
            hidden_dim,
            1,
            output_dim,
            horizon=horizon,
            layer="GRU",
            segment=segment,
            decoding="segments",
            normalization=normalization,
            output=output,
            head_dropout=head_dropout,
            known_dim=known_dim,
            static_dim=static_dim,
            category_sizes=category_sizes,
            optimizer=optimizer,
            scheduler=scheduler,
        )


class DeepARForecaster(Forecaster):
    """Say step by step how the next value is distributed, and feed back what is drawn from that.

    Source: Salinas et al. (2020), https://arxiv.org/abs/1704.04110.

    Args:
        input_dim: Features of a step: the channels to be forecast, then what is known beforehand.
        hidden_dim: Features of the state.
        num_layers: Layers on top of each other.
        output_dim: Numbers forecast from a window, horizon times channels.
        horizon: Steps to forecast; None: as many as `output_dim`, of one channel.
        normalization: How each window is scaled, see `Forecaster`.
        output: `gaussian`, `student_t` or, for counts, `negative_binomial`.
        samples: Paths drawn in evaluation.
        layer_dropout: Dropout between the layers.
        known_dim: Features known of the steps to come; the data says it.
        static_dim: Numbers that describe a series; the data says it.
        category_sizes: Levels of each category that describes a series; the data says it.
        optimizer: See `Task`.
        scheduler: See `Task`.
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int = 40,
        num_layers: int = 2,
        output_dim: int = 1,
        *,
        horizon: int | None = None,
        normalization: str = "mean",
        output: str = "student_t",
        samples: int = 100,
        layer_dropout: float = 0.1,
        known_dim: int = 0,
        static_dim: int = 0,
        category_sizes: list[int] | None = None,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(
            input_dim,
            hidden_dim,
            num_layers,
            output_dim,
            horizon=horizon,
            decoding="recursive",
            normalization=normalization,
            output=output,
            samples=samples,
            layer_dropout=layer_dropout,
            known_dim=known_dim,
            static_dim=static_dim,
            category_sizes=category_sizes,
            optimizer=optimizer,
            scheduler=scheduler,
        )
