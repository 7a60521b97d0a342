"""Messages of the commands on standard error, without the hints of Lightning."""

import logging
import sys
import warnings
from typing import TextIO

from lightning.fabric.utilities.rank_zero import _get_rank

log = logging.getLogger("rnn_lab")


class StandardErrorHandler(logging.StreamHandler[TextIO]):
    """Write messages to `sys.stderr` as it is at that time: a progress bar moves below them."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # a variable in the base class
        """The current standard error."""
        return sys.stderr


def configure_logging() -> None:
    """Log our messages to standard error, and silence the hints of Lightning."""
    logging.basicConfig(format="%(message)s", handlers=[StandardErrorHandler()])
    log.setLevel(logging.INFO if not _get_rank() else logging.ERROR)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)  # asked for
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")  # not needed
    warnings.filterwarnings("ignore", ".*is smaller than the logging interval")  # per epoch
    warnings.filterwarnings("ignore", ".*LeafSpec.*")  # caused by Lightning
    warnings.filterwarnings(
        "ignore", ".*srun.* is available on your system"
    )  # see check_world_size
    warnings.filterwarnings("ignore", ".*callbacks used to create the checkpoint.*")  # expected
