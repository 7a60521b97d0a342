"""Recurrent forecasters of time series: the configurable model and the named architectures."""

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable

from rnn_lab.core.options import as_options
from rnn_lab.tasks.forecasting.base import BaseForecaster, Decoding
from rnn_lab.tasks.forecasting.options import (
    Covariates,
    Dropouts,
    EncoderOptions,
    OutputOptions,
)


class Forecaster(BaseForecaster):
    """Forecaster with any recurrent layer, normalization, decoding and output.

    Args:
        input_dim: Features per step: the target channels first, then future covariates, then past
            covariates.
        hidden_dim: Features of the hidden state.
        num_layers: Number of stacked recurrent layers.
        output_dim: Numbers to forecast: horizon times channels.
        horizon: Steps to forecast; None takes `output_dim`, that is, one channel.
        covariates: Sizes of the covariates; linked from the data.
        layer: Recurrent layer by its name in `rnn_lab.nn.LAYERS`.
        decoding: `direct` (all steps from the final state), `recursive` (step by step, feeding
            back forecasts; teacher forcing in training) or `parallel` (patches in parallel, each by
            one step from the final state, as in SegRNN).
        output: What is predicted for each value: `point`, `quantiles`, `gaussian`, `student_t` or
            `negative_binomial`.
        encoder: How the layer encodes a window.
        output_options: Options of the output.
        dropouts: Probabilities of dropout.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Raises:
        UserError: If an argument is invalid, or the data does not provide a size.
    """

    layer: str = "LSTM"

    def __init__(  # noqa: PLR0913  # 12 options, optimizer and scheduler
        self,
        input_dim: int,
        hidden_dim: int = 64,
        num_layers: int = 1,
        output_dim: int = 1,
        *,
        horizon: int | None = None,
        covariates: Covariates | None = None,
        layer: str = "LSTM",
        decoding: Decoding = "direct",
        output: str = "point",
        encoder: EncoderOptions | None = None,
        output_options: OutputOptions | None = None,
        dropouts: Dropouts | None = None,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        self.layer, self.decoding, self.output_type = layer, decoding, output
        self.encoder = as_options(EncoderOptions, encoder)
        self.output_options = as_options(OutputOptions, output_options)
        self.dropouts = as_options(Dropouts, dropouts)
        super().__init__(
            input_dim,
            hidden_dim,
            num_layers,
            output_dim,
            horizon=horizon,
            covariates=covariates,
            optimizer=optimizer,
            scheduler=scheduler,
        )


class LSTMForecaster(BaseForecaster):
    """Forecaster on the final state of an LSTM over single steps.

    Channels are independent and each window is standardized. Has 64 hidden units by default and
    dropout 0.2 between its layers.

    Source: Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735.
    """

    layer, dropouts = "LSTM", Dropouts(head=0.5)


class PatchedLSTMForecaster(BaseForecaster):
    """Forecaster on the final state of an LSTM over patches of 24 steps.

    Channels are independent and each window is standardized. Has 128 hidden units by default.

    Source: Kong et al. (2024), https://arxiv.org/abs/2408.10006, section 3.1 (patching, channel
    independence) for an LSTM; the patch embedding as in Lin et al. (2023).
    """

    layer, default_hidden_dim = "LSTM", 128
    encoder, dropouts = EncoderOptions(patch_length=24), Dropouts(head=0.3)


class SegRNNForecaster(BaseForecaster):
    """SegRNN: a GRU over patches of 24 steps that decodes the patches of the horizon in parallel.

    The last value of each window is subtracted. Has 512 hidden units by default; their number must
    be even.

    Source: Lin et al. (2023), https://arxiv.org/abs/2308.11200.
    """

    layer, decoding, default_hidden_dim = "GRU", "parallel", 512
    encoder = EncoderOptions(normalization="last", patch_length=24)
    dropouts = Dropouts(head=0.5)


class DeepARForecaster(BaseForecaster):
    """DeepAR: autoregressive probabilistic forecaster with a Student's t distribution.

    Each window is divided by its mean absolute value. Has 2 layers of 40 hidden units by default;
    100 paths are sampled in evaluation.

    Source: Salinas et al. (2020), https://arxiv.org/abs/1704.04110.
    """

    layer, default_hidden_dim, default_num_layers = "LSTM", 40, 2
    decoding, output_type = "recursive", "student_t"
    encoder, dropouts = EncoderOptions(normalization="mean"), Dropouts(layer=0.1)
