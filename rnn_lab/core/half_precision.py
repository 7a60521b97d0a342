"""Precision: 16-bit weights on batches in full precision, and inference as in a Trainer."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lightning import Trainer
from lightning.fabric.plugins import DoublePrecision, MixedPrecision, Precision
from lightning.pytorch.plugins import HalfPrecision
from torch import nn
from torchmetrics import Metric

from rnn_lab.errors import UserError

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true")
SHORT_NAMES = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed", "64": "64-true"}


class HalfWeights(HalfPrecision):
    """Lightning's plugin for `bf16-true` and `16-true`, which leaves batches as they are.

    Targets and scales lose digits in 16 bits, and errors would be computed against rounded targets.
    The layers of `rnn_lab.nn` convert their inputs themselves.
    """

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Convert weights and buffers to 16 bits, but not the sums of metrics."""
        metrics = [
            (parent, name, child)
            for parent in module.modules()
            for name, child in parent.named_children()
            if isinstance(child, Metric)
        ]
        for parent, name, _ in metrics:
            del parent._modules[name]
        converted = super().convert_module(module)
        for parent, name, child in metrics:
            parent._modules[name] = child
        return converted

    def convert_input(self, data: Any) -> Any:
        """Return the batch unchanged."""
        return data

    def forward_context(self) -> AbstractContextManager[None]:  # type: ignore[override]  # a decorated generator
        """Leave the default dtype at float32, so that sums are not computed in 16 bits."""
        return nullcontext()


def keep_batches_in_float32(trainer: Trainer) -> None:
    """Replace Lightning's plugin for 16-bit weights, before a Trainer uses it."""
    plugin = trainer.strategy.precision_plugin
    if type(plugin) is HalfPrecision:
        trainer.strategy.precision_plugin = HalfWeights(plugin.precision)


def inference_precision(name: str, device: str) -> Precision:
    """Return the plugin for inference in a precision, which converts weights and sets autocast.

    Args:
        name: Name of a precision, as the Trainer takes it.
        device: Type of the device, such as `cpu`.

    Raises:
        UserError: If there is no such precision, or the device does not support it.
    """
    match SHORT_NAMES.get(name, name):
        case "32-true":
            return Precision()
        case "16-mixed" if device == "cpu":
            raise UserError("precision 16-mixed needs a GPU: set bf16-mixed")
        case ("16-mixed" | "bf16-mixed") as mixed:
            return MixedPrecision(mixed, device)
        case ("16-true" | "bf16-true") as half:
            return HalfWeights(half)
        case "64-true":
            return DoublePrecision()
    raise UserError(f"precision must be one of {', '.join(PRECISIONS)}, got {name}")
