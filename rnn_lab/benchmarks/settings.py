"""What the command line says about measurements."""

from dataclasses import dataclass
from typing import Any

from rnn_lab.errors import UserError

TOLERANCE, BFLOAT16_TOLERANCE = 1e-5, 1e-2  # relative difference of equal losses


@dataclass(frozen=True)
class Settings:
    """Options of a measurement that all parts share.

    Args:
        quick: Whether to measure fewer and smaller settings, for a first impression.
        device: Device on which is computed, such as `cpu` or `cuda`.
        bfloat16: Whether products are computed in bfloat16 by autocast.
        rounds: Number of rounds, in each of which every implementation runs once.
        threads: Numbers of threads to measure with, one after the other.
        layers: Names of recurrent layers to measure; empty for all.
        plain_too: Whether implementations are also measured without compiled kernels.
        ckpt_path: Checkpoint of a translator that decodes; None: an untrained one.

    Raises:
        UserError: If a number is not positive.
    """

    quick: bool = False
    device: str = "cpu"
    bfloat16: bool = False
    rounds: int = 9
    threads: tuple[int, ...] = (1,)
    layers: tuple[str, ...] = ()
    plain_too: bool = False
    ckpt_path: str | None = None

    def __post_init__(self) -> None:
        for name, number in (("rounds", self.rounds), *(("threads", n) for n in self.threads)):
            if number < 1:
                raise UserError(f"--{name} must be at least 1, got {number}")

    @property
    def tolerance(self) -> float:
        """Relative difference up to which losses count as equal."""
        return BFLOAT16_TOLERANCE if self.bfloat16 else TOLERANCE

    def computation(self) -> dict[str, Any]:
        """Return the options that every implementation needs."""
        return {"device": self.device, "bfloat16": self.bfloat16}
