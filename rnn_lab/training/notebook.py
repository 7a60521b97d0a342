"""Settings for a notebook that trains small models on a CPU."""

import logging
import sys
import warnings

import torch

from rnn_lab.core.cpu import configure_cpu

HARMLESS = (  # warnings of Lightning and torch, by a part of their text
    "does not have many workers",  # a batch is one gather, so no workers are needed
    "LeafSpec",  # Lightning asks torch for a class by its old name
    "available but not used",  # a GPU is not faster for tiny models
)


def configure_notebook(num_threads: int = 1) -> None:
    """Configure logging, warnings, threads and the CPU for a notebook.

    Training is logged like on the command line, one line per epoch, to the output of the cell. Call
    it in the first cell, before the first tensor operation: see `configure_cpu`.

    Args:
        num_threads: Threads of torch; small models gain nothing from a second one.
    """
    configure_cpu()
    torch.set_num_threads(num_threads)
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    logging.getLogger("rnn_lab").setLevel(logging.INFO)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for part in HARMLESS:
        warnings.filterwarnings("ignore", f".*{part}.*")
