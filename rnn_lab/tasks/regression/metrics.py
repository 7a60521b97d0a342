"""Metrics of regression."""

import torch
from torch import Tensor
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric, MetricCollection, R2Score


class SafeR2Score(R2Score):
    """Coefficient of determination, averaged over outputs; NaN for fewer than two rows."""

    def compute(self) -> Tensor:
        """Compute R²: 1 for perfect predictions, 0 for those no better than the mean."""
        if self.total < 2:
            return torch.full((), torch.nan, device=self.total.device)
        return super().compute()


def regression_metrics() -> dict[str, Metric | MetricCollection]:
    """Create mean squared and mean absolute error over rows and outputs, and R²."""
    return {"mse": MeanSquaredError(), "mae": MeanAbsoluteError(), "r2": SafeR2Score()}
