"""Standardization of the features of sequences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rnn_lab.errors import UserError


@dataclass
class StandardScaler:
    """Scale each feature to zero mean and unit variance; replace missing values by the mean.

    Attributes:
        mean: Mean of each feature, `(input_dim,)` float64.
        std: Standard deviation of each feature, `(input_dim,)` float64; 1 for a constant feature.
    """

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def fit(cls, sequences: Sequence[np.ndarray]) -> tuple["StandardScaler", list[str]]:
        """Estimate mean and standard deviation from the observed values of sequences.

        Args:
            sequences: Values of each sequence, `(time, input_dim)`, NaN where missing.

        Returns:
            The scaler, and messages about the data.

        Raises:
            UserError: If all values of a feature are missing.
        """
        values = np.concatenate(sequences)
        unobserved = np.flatnonzero(np.isnan(values).all(0))
        if len(unobserved):
            raise UserError(
                f"dimension {unobserved[0] + 1} has no value in the training split: remove it"
            )
        constant = np.nanmin(values, 0) == np.nanmax(values, 0)
        std = np.where(constant, 1.0, np.nanstd(values, 0))
        notices = [
            f"dimension {i + 1} is constant in the training split: centered, not scaled"
            for i in np.flatnonzero(constant)
        ]
        return cls(np.nanmean(values, 0), std), notices

    @classmethod
    def identity(cls, input_dim: int) -> "StandardScaler":
        """Return a scaler that does not change values."""
        return cls(np.zeros(input_dim), np.ones(input_dim))

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return scaled values `(time, input_dim)`, a float32 copy."""
        return np.nan_to_num((values - self.mean) / self.std, nan=0.0).astype(np.float32)

    def state_dict(self) -> dict[str, list[float]]:
        """Return the state as plain values."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, list[float]]) -> "StandardScaler":
        """Create a scaler from the result of `state_dict`."""
        return cls(np.array(state["mean"], np.float64), np.array(state["std"], np.float64))
