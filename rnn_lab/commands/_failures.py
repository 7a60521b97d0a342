"""Errors while a Trainer runs: one line with the reason, once for all processes of the run."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed
from lightning import LightningModule, Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from torch.distributed.distributed_c10d import _get_default_store

from rnn_lab.errors import ProcessError, UserError
from rnn_lab.signals import Preempted

LOST_CONNECTION = re.compile("gloo|NCCL|TCPStore|Connection (closed|reset|refused)")
FAILURES = "rnn_lab/failures"  # key of the number of processes that failed


class FirstFailure(Callback):
    """Determine which process of a run fails first; the failures of others are its consequence.

    Attributes:
        is_here: Whether this process was the first one; None if no process failed, or there are
            no others.
    """

    def __init__(self) -> None:
        self.is_here: bool | None = None

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Count the failure, before other processes notice it."""
        failed = isinstance(exception, Exception) and not isinstance(exception, Preempted)
        if failed and torch.distributed.is_initialized():
            self.is_here = _count_failure() == 1


def _count_failure() -> int:
    """Return how many processes have failed; 0 if the process that counts them has ended."""
    try:
        return _get_default_store().add(FAILURES, 1)
    except RuntimeError:
        return 0


@contextmanager
def failures_named(first: FirstFailure) -> Iterator[None]:
    """Convert errors with a known cause into a `UserError` of one line.

    Args:
        first: Callback of the Trainer that runs inside of the block.

    Raises:
        UserError: For an error of the user, of a data-loading process, or of another process.
    """
    try:
        yield
    except Preempted:
        raise
    except Exception as error:
        reason = _reason(error)
        if first.is_here is False:
            raise ProcessError(reason or str(error), reported_here=False) from error
        if reason is None:
            raise
        if first.is_here:
            raise ProcessError(reason, reported_here=True) from error
        raise UserError(reason) from error


def _reason(error: Exception) -> str | None:
    """Return the reason of an error that is no defect of the program; None if it may be one."""
    text = str(error)
    worker = re.match(r"Caught (\w+) in DataLoader worker process", text)
    if worker:
        return _reason_in_worker(text, worker[1])
    if isinstance(error, UserError | MisconfigurationException | FileNotFoundError):
        return text
    if not isinstance(error, RuntimeError):
        return None
    if "Early stopping conditioned on" in text:
        return text
    if torch.distributed.is_initialized() and LOST_CONNECTION.search(text):
        return f"another process of the run has ended, perhaps for lack of memory: {text}"
    return None


def _reason_in_worker(text: str, kind: str) -> str:
    """Return what follows the traceback in an error of a data-loading process."""
    lines = text.rstrip().splitlines()
    last = max((i for i, line in enumerate(lines) if line.startswith("  ")), default=0)
    message = " ".join(lines[last + 1 :]).partition(": ")[2] or kind
    return message if kind == "UserError" else f"{message} ({kind} while loading data)"
