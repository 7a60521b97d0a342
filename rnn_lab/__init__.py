"""An experiment framework for recurrent networks on PyTorch Lightning.

Models, data modules and `load` can be imported from here. They are looked up when they are first
used: `import rnn_lab` alone loads no torch.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_FUNCTIONS = {"load": "inference", "collate_variable_length": "data"}


def __getattr__(name: str) -> Any:
    homes = [_FUNCTIONS[name]] if name in _FUNCTIONS else ["models", "data"] * name[0].isupper()
    for home in homes:
        module = import_module(f"rnn_lab.{home}")
        if hasattr(module, name):
            return getattr(module, name)
    raise AttributeError(f"module 'rnn_lab' has no attribute {name!r}")
