"""Training with 16-bit weights on batches, and with metrics, in full precision."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lightning import Trainer
from lightning.pytorch.plugins import HalfPrecision
from torch import nn
from torchmetrics import Metric


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
