"""The mean loss and the speed of a training epoch, also of one that is resumed in its middle."""

import time
from typing import Any

import torch
from torch import Tensor


class EpochMeter:
    """Sums losses, targets and seconds of an epoch in one process.

    Each `self.log` of Lightning costs half a millisecond, so the mean is summed here and logged
    once. What is summed so far goes into a checkpoint and comes back with it.
    """

    def __init__(self) -> None:
        self._loss, self._targets = torch.zeros(()), 0
        self._seconds, self._started = 0.0, float("nan")  # before a resume; since when it counts
        self.reported = True

    def start_epoch(self) -> None:
        """Forget the last epoch."""
        self._loss, self._targets = torch.zeros(()), 0
        self._seconds, self._started, self.reported = 0.0, time.monotonic(), False

    def start_clock(self) -> None:
        """Count seconds from now on, as when training starts or resumes."""
        self._started = time.monotonic()

    def update(self, loss: Tensor, num_targets: int) -> None:
        """Add the mean loss of a batch over its targets."""
        self._loss = self._loss.to(loss.device) + loss.detach() * num_targets
        self._targets += num_targets

    def compute(self, everyone: Any) -> dict[str, Tensor]:
        """Compute the mean loss and the targets per second, over all processes.

        Args:
            everyone: Gathers a tensor of each process, `(processes, ...)`.

        Returns:
            `loss` and `targets_per_second`, float32 scalars.
        """
        mine = torch.stack([self._loss.cpu().double(), torch.tensor(self._targets).double()])
        loss, targets = everyone(mine).sum(0)
        self.reported = True
        speed = targets / self._elapsed()
        return {"loss": (loss / targets).float(), "targets_per_second": speed.float()}

    def state(self) -> Tensor:
        """Return loss, targets and seconds so far, `(3,)` float64."""
        return torch.tensor([float(self._loss), self._targets, self._elapsed()], dtype=torch.double)

    def load_state(self, states: Tensor, rank: int, world_size: int) -> None:
        """Restore what was summed; another number of processes shares it out to the first.

        Args:
            states: What `state` gave in each process, `(processes, 3)`.
            rank: Number of this process.
            world_size: Number of processes.
        """
        same = len(states) == world_size
        mine = states[rank] if same else states.sum(0) * float(rank == 0)
        self._loss, self._targets = mine[0].float(), int(mine[1])
        self._seconds, self.reported = float(states[:, 2].max()), False

    def _elapsed(self) -> float:
        return self._seconds + time.monotonic() - self._started
