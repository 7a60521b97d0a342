"""Groups of options of language models."""

from dataclasses import asdict, dataclass, fields
from typing import Self

from rnn_lab.errors import UserError


@dataclass(frozen=True)
class Dropouts:
    """Dropout probabilities of a language model, and how masks are sampled.

    Args:
        embedding: Of a word of the vocabulary, at all its positions; sampled for each batch.
        input: Of the features of the embedded tokens.
        layer: Between recurrent layers.
        output: Before the linear layer.
        weight_drop: DropConnect of the recurrent weights; sampled for each batch.
        zoneout: Of a unit of the state keeping its previous value.
        variational: If True, `input`, `layer` and `output` use one mask for all steps of a row in
            a batch, instead of one for each step.
    """

    embedding: float = 0.0
    input: float = 0.0
    layer: float = 0.0
    output: float = 0.0
    weight_drop: float = 0.0
    zoneout: float = 0.0
    variational: bool = True

    def scaled(self, factor: float) -> Self:
        """Return the same options with all probabilities multiplied by a factor."""
        values = asdict(self)
        scaled = {name: values[name] * factor for name in values if name != "variational"}
        return type(self)(**scaled, variational=self.variational)

    def of_layer(self) -> dict[str, float]:
        """Return the options that recurrent layers apply themselves, those at zero left out."""
        values = {"weight_drop": self.weight_drop, "zoneout": self.zoneout}
        return {name: value for name, value in values.items() if value}


@dataclass(frozen=True)
class ActivationRegularization:
    """Weights of the activation regularization of Merity et al. (2017), added to the loss.

    Source: https://arxiv.org/abs/1708.01009.

    Args:
        activation: Weight of the mean square of the last layer's output, after dropout (AR).
        temporal: Weight of the mean square of the difference between that output at successive
            steps, before dropout (TAR).

    Raises:
        UserError: If a weight is negative.
    """

    activation: float = 0.0
    temporal: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value >= 0:
                raise UserError(f"regularization.{field.name} must be at least 0, got {value}")
