"""An experiment framework for recurrent networks on PyTorch Lightning.

Models, data modules, the classes of the textbook (cells, encoders, decoders, attention) and `load`
can be imported from here. They are imported lazily: `import rnn_lab` alone does not load torch.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC_MODULES = ("models", "datamodules")
_MODULE_OF = {
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
    "configure_cpu": "core.cpu",
    "collate_variable_length": "tasks.text_classification.textbook",
    "load": "core.loading",
    "train_forecaster": "tasks.forecasting.textbook",
}


def __getattr__(name: str) -> Any:
    if name == "__all__":  # for `help` and completion; imports all models and data modules
        exports = (import_module(f"rnn_lab.{module}").__all__ for module in _PUBLIC_MODULES)
        return sorted({*_MODULE_OF, *(name for names in exports for name in names)})
    candidates = _PUBLIC_MODULES if name[0].isupper() else ()
    for path in [_MODULE_OF[name]] if name in _MODULE_OF else candidates:
        module = import_module(f"rnn_lab.{path}")
        if hasattr(module, name):
            return getattr(module, name)
    raise AttributeError(f"module 'rnn_lab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__")})
