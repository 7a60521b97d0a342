"""An experiment framework for recurrent networks on PyTorch Lightning.

Models, data modules and `load` can be imported from here. They are looked up when they are first
used: `import rnn_lab` alone loads no torch.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_FACES = ("models", "datamodules")
_HOMES = {
    "LabDataModule": "core.datamodule",
    "Predictor": "core.predictor",
    "RecordPredictor": "core.predictor",
    "SentimentDataset": "tasks.text_classification.textbook",
    "StepOutput": "core.task",
    "Task": "core.task",
    "UserError": "errors",
    "collate_variable_length": "tasks.text_classification.textbook",
    "load": "core.loading",
}


def __getattr__(name: str) -> Any:
    homes = [_HOMES[name]] if name in _HOMES else _FACES if name[0].isupper() else ()
    for home in homes:
        module = import_module(f"rnn_lab.{home}")
        if hasattr(module, name):
            return getattr(module, name)
    raise AttributeError(f"module 'rnn_lab' has no attribute {name!r}")
