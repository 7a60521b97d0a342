"""Options of splits that a dataset does not provide."""

from dataclasses import dataclass

from rnn_lab.errors import UserError


@dataclass(frozen=True)
class SplitConfig:
    """How a validation split is drawn from the training split if there is none.

    Args:
        valid_fraction: Fraction of the training split to validate on; None: the default of the
            dataset.
        seed: Seed of the draw.

    Raises:
        UserError: If the fraction is not between 0 and 1.
    """

    valid_fraction: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.valid_fraction is not None and not 0 < self.valid_fraction < 1:
            raise UserError(
                f"split.valid_fraction must be between 0 and 1, got {self.valid_fraction}"
            )
