"""An experiment framework for recurrent networks on PyTorch Lightning.

The names below are imported when they are first used: `import rnn_lab` alone loads no torch.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "BiLSTMClassifier": "models",
    "GRUClassifier": "models",
    "LSTMClassifier": "models",
    "PackedLSTM": "models",
    "SentimentDataset": "data",
    "SentimentLSTM": "models",
    "TextClassifier": "models",
    "collate_variable_length": "data",
    "load": "inference",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rnn_lab' has no attribute {name!r}")
    return getattr(import_module(f"rnn_lab.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
