"""Imports of large packages, without the garbage collections that slow them down."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rnn_lab.io.waiting import waiting


@contextmanager
def loading(description: str) -> Iterator[None]:
    """Show a description while the block imports modules, and do not collect garbage there.

    PyTorch and Lightning create more than a million objects, which last as long as the process. A
    collection would visit them all to find nothing, during the imports, later, and at the end of
    the process. The first block that imports torch therefore freezes them (`gc.freeze`).

    Args:
        description: What is loaded, for a terminal.
    """
    first, enabled = "torch" not in sys.modules, gc.isenabled()
    gc.disable()
    try:
        with waiting(description):
            yield
        if first and "torch" in sys.modules:
            gc.freeze()
    finally:
        if enabled:
            gc.enable()
