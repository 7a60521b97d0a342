"""Mean loss and throughput of a training epoch, including epochs resumed in the middle."""

import time
from typing import Any

import torch
from torch import Tensor

from rnn_lab.nn.functional.precision import at_least_float32


class EpochMeter:
    """Accumulate losses, targets and seconds of an epoch in one process.

    Each call of Lightning's `self.log` costs half a millisecond, so the mean is accumulated here
    and logged once. Checkpoints store the partial sums.

    Attributes:
        reported: Whether the current epoch was computed; True before the first epoch.
    """

    def __init__(self) -> None:
        self._loss, self._targets = _zeros()
        self._seconds = 0.0  # of this epoch, before the run was resumed
        self._started = float("nan")  # time.monotonic() at the start or resume
        self.reported = True

    def start_epoch(self) -> None:
        """Reset all sums."""
        self._loss, self._targets = _zeros()
        self._seconds, self._started, self.reported = 0.0, time.monotonic(), False

    def start_clock(self) -> None:
        """Start counting seconds, when training starts or resumes."""
        self._started = time.monotonic()

    def update(self, loss: Tensor, num_targets: int | Tensor) -> None:
        """Add a batch by its mean loss and its number of targets, without waiting for a device."""
        loss = at_least_float32(loss.detach())
        self._loss = _move(self._loss, loss) + loss * num_targets
        if isinstance(num_targets, Tensor):
            self._targets = _move(self._targets, num_targets)
        self._targets = self._targets + num_targets

    def compute(self, all_gather: Any) -> dict[str, Tensor]:
        """Compute the mean loss and the targets per second over all processes.

        Args:
            all_gather: Function that stacks a tensor of all processes, `(processes, ...)`.

        Returns:
            `loss` and `targets_per_second`, float32 scalars.
        """
        sums = torch.stack([self._loss.cpu().double(), self._targets.cpu().double()])
        loss, targets = all_gather(sums).sum(0)
        self.reported = True
        throughput = targets / self._elapsed()
        return {"loss": (loss / targets).float(), "targets_per_second": throughput.float()}

    def state(self) -> Tensor:
        """Return the sums of loss, targets and seconds, `(3,)` float64."""
        sums = float(self._loss), int(self._targets), self._elapsed()
        return torch.tensor(sums, dtype=torch.double)

    def load_state(self, states: Tensor, rank: int, world_size: int) -> None:
        """Restore partial sums; if the number of processes changed, rank 0 receives the totals.

        Args:
            states: Result of `state` in each process of the saved run, `(processes, 3)`.
            rank: Rank of this process.
            world_size: Number of processes.
        """
        unchanged = len(states) == world_size
        sums = states[rank] if unchanged else states.sum(0) * float(rank == 0)
        self._loss, self._targets = sums[0].float(), sums[1].long()
        self._seconds, self.reported = float(states[:, 2].max()), False

    def _elapsed(self) -> float:
        return self._seconds + time.monotonic() - self._started


def _zeros() -> tuple[Tensor, Tensor]:
    """Return the initial sums of loss and targets, of these dtypes in any default dtype."""
    return torch.zeros((), dtype=torch.float32), torch.zeros((), dtype=torch.int64)


def _move(total: Tensor, like: Tensor) -> Tensor:
    """Move a sum to the device of what is added to it."""
    return total.to(like.device, non_blocking=True)
