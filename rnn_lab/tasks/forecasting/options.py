"""Groups of options of forecasters."""

from dataclasses import dataclass, field
from typing import Any, Literal

from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.outputs import Output, build_output


@dataclass(frozen=True)
class Covariates:
    """Sizes of the covariates; linked from the data.

    Input features that are neither targets nor future covariates are past covariates.

    Args:
        future_dim: Features that are known for the steps to forecast.
        static_dim: Numeric features of a whole series.
        category_sizes: Number of levels of each categorical feature of a whole series.
    """

    future_dim: int = 0
    static_dim: int = 0
    category_sizes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        sizes = {"future_dim": self.future_dim, "static_dim": self.static_dim}
        for name, size in {**sizes, "category_sizes": min(self.category_sizes, default=0)}.items():
            if size < 0:
                raise UserError(f"covariates.{name} must be at least 0, got {size}")


@dataclass(frozen=True)
class EncoderOptions:
    """How a recurrent layer encodes a window.

    Args:
        normalization: Normalization of each window: `none`, `last`, `mean`, `standard` or `revin`,
            see `WindowNormalization`.
        patch_length: Steps per patch, which the layer reads as one step; 1 disables patching.
        channel_independent: Whether each channel is forecast from its own past only, with shared
            weights; otherwise all channels are modeled jointly.
        layer_kwargs: Further arguments of the recurrent layer by name, such as `zoneout`.
        initialization: `recommended` or `torch` (torch's own), see `rnn_lab.nn.build_layer`.
    """

    normalization: str = "standard"
    patch_length: int = 1
    channel_independent: bool = True
    layer_kwargs: dict[str, Any] | None = None
    initialization: Literal["recommended", "torch"] = "recommended"


@dataclass(frozen=True)
class OutputOptions:
    """Options of the output.

    Args:
        loss: Loss of `output=point`: `mse`, `mae` or `huber`.
        quantiles: Levels of `output=quantiles`; None: 0.025, 0.05, 0.1, ..., 0.95, 0.975.
        num_samples: Sample paths in evaluation, if a distribution is decoded recursively.
    """

    loss: str = "mse"
    quantiles: list[float] | None = None
    num_samples: int = 100

    def build(self, name: str, normalization: str) -> Output:
        """Build an output; refuse options that do not apply to it.

        Args:
            name: Name of the output, see `build_output`.
            normalization: Normalization of windows, see `WindowNormalization`.

        Raises:
            UserError: If there is no such output, or an option does not apply to it.
        """
        try:
            output = build_output(name, self.loss, self.quantiles)
        except ValueError as error:
            raise UserError(str(error)) from error
        if name != "quantiles" and self.quantiles is not None:
            raise UserError(
                f"output_options.quantiles requires output=quantiles, got output={name}"
            )
        if name != "point" and self.loss != "mse":
            raise UserError(
                f"output_options.loss={self.loss} requires output=point, got output={name}"
            )
        if name == "negative_binomial" and normalization not in ("none", "mean"):
            raise UserError(
                "output=negative_binomial does not support shifted windows or scaled counts: set "
                f"the model's normalization to mean or none, got {normalization}, and "
                "--data.scaling=none"
            )
        return output


@dataclass(frozen=True)
class Dropouts:
    """Probabilities of dropout in a forecaster.

    Args:
        layer: Between recurrent layers; in every sublayer of a Transformer.
        head: Before the last linear layer.

    Raises:
        UserError: If a probability is not in [0, 1).
    """

    layer: float = 0.2
    head: float = 0.0

    def __post_init__(self) -> None:
        for name, probability in (("layer", self.layer), ("head", self.head)):
            if not 0 <= probability < 1:
                raise UserError(
                    f"dropouts.{name} must be at least 0 and below 1, got {probability}"
                )
