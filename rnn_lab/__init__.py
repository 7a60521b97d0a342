"""An experiment framework for recurrent networks on PyTorch Lightning.

Models, data modules, the classes of the textbook (cells, encoders, decoders, attention) and `load`
can be imported from here. They are looked up when they are first used: `import rnn_lab` alone loads
no torch.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_FACES = ("models", "datamodules")
_HOMES = {
    "Attention": "nn",
    "AttentionDecoder": "nn",
    "Decoder": "nn",
    "Encoder": "nn",
    "LSTMWithLayerNorm": "nn",
    "LabDataModule": "core.datamodule",
    "Predictor": "core.predictor",
    "RecordPredictor": "core.predictor",
    "SentimentDataset": "tasks.text_classification.textbook",
    "Seq2Seq": "nn",
    "StepOutput": "core.task",
    "Task": "core.task",
    "UserError": "errors",
    "collate_variable_length": "tasks.text_classification.textbook",
    "load": "core.loading",
    "train_forecaster": "tasks.forecasting.textbook",
}


def __getattr__(name: str) -> Any:
    if name == "__all__":  # for `help` and completion; it imports the models and data modules
        faces = (import_module(f"rnn_lab.{face}").__all__ for face in _FACES)
        return sorted({*_HOMES, *(name for names in faces for name in names)})
    homes = [_HOMES[name]] if name in _HOMES else _FACES if name[0].isupper() else ()
    for home in homes:
        module = import_module(f"rnn_lab.{home}")
        if hasattr(module, name):
            return getattr(module, name)
    raise AttributeError(f"module 'rnn_lab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__")})
