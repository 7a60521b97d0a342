"""The option `--wandb`: Weights & Biases on request, or if the environment asks for it."""

import logging
import os
from pathlib import Path
from typing import Any

from rnn_lab.training import OfflineWandbLogger

log = logging.getLogger("rnn_lab")

VARIABLES = ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT")
HELP = (
    "log to Weights & Biases, to a project if given (--wandb=PROJECT); if omitted, only if one of "
    f"the environment variables {', '.join(VARIABLES)} is set"
)


def with_wandb(option: bool | str | None, loggers: Any) -> Any:
    """Return the loggers of the Trainer, with `OfflineWandbLogger` if it is wanted.

    Args:
        option: Value of `--wandb`: a project, whether to log, or None to ask the environment.
        loggers: Value of `--trainer.logger`: instances, True, False or None.
    """
    present = loggers if isinstance(loggers, list) else [loggers]
    if any(isinstance(logger, OfflineWandbLogger) for logger in present):
        return loggers
    if option is None and loggers in (None, False):
        option = is_wanted()
        if not option:
            _hint()
    if not option:
        return loggers
    others = [logger for logger in present if not isinstance(logger, bool | None)]
    return [*others, OfflineWandbLogger(project=option if isinstance(option, str) else None)]


def is_wanted() -> bool:
    """Return whether the environment asks for W&B; tests with pytest never log there."""
    if "PYTEST_VERSION" in os.environ:
        return False
    return any(os.environ.get(name) for name in VARIABLES)


def _hint() -> None:
    """Say how to log to the account that is configured, since nothing is sent without a request."""
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").partition("://")[2]
    path = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        configured = f"machine {host.strip('/')}" in path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    if configured and "PYTEST_VERSION" not in os.environ:
        log.info("not logged to Weights & Biases: add --wandb to use the account in %s", path)
