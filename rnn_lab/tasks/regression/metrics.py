"""How well numbers are told."""

import torch
from torch import Tensor
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric, MetricCollection, R2Score


class SafeR2Score(R2Score):
    """Coefficient of determination, the mean over the outputs; NaN of less than two rows."""

    def compute(self) -> Tensor:
        """Compare with always saying the mean: 1 is perfect, 0 no better."""
        if self.total < 2:
            return torch.full((), torch.nan, device=self.total.device)
        return super().compute()


def regression_metrics() -> dict[str, Metric | MetricCollection]:
    """Mean squared and mean absolute error over rows and outputs, and R²."""
    return {"mse": MeanSquaredError(), "mae": MeanAbsoluteError(), "r2": SafeR2Score()}
