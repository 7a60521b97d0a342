"""Options of splits that a dataset does not provide."""

from dataclasses import dataclass

from rnn_lab.errors import UserError


@dataclass(frozen=True)
class SplitConfig:
    """How validation and test splits are drawn from the training split if there are none.

    Args:
        valid_fraction: Fraction of the training split to validate on; None: the default of the
            dataset.
        test_fraction: Fraction of the training split to test on, drawn before the validation
            split; None: the default of the dataset, which is no test split for your own files.
        seed: Seed of the draw.

    Raises:
        UserError: If a fraction is not between 0 and 1.
    """

    valid_fraction: float | None = None
    test_fraction: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("valid_fraction", "test_fraction"):
            fraction = getattr(self, name)
            if fraction is not None and not 0 < fraction < 1:
                raise UserError(f"split.{name} must be between 0 and 1, got {fraction}")

    @property
    def test_argument(self) -> str:
        """Name of the argument of your own files that the test split is read from."""
        return "test" if self.test_fraction is None else "train"

    def missing_split_hint(self, split: str, files: str) -> str:
        """Return what an error message recommends if a split of your own files is missing.

        Args:
            split: The missing split.
            files: How its files are given on the command line.
        """
        if split != "test":
            return f"set --data.{split}={files}"
        if self.test_fraction is not None:
            return f"set --data.train={files}, from which it is drawn, or --data.test={files}"
        draw = "--data.split.test_fraction=0.2 to draw it from the training files"
        return f"set --data.test={files}, or {draw}"
