"""An experiment framework for recurrent networks on PyTorch Lightning.

Models, data modules, their groups of options, the classes of the textbook (cells, encoders,
decoders, attention) and `load` can be imported from here. They are imported lazily: `import
rnn_lab` alone does not load torch.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC_MODULES = ("models", "datamodules")
_MODULE_OF = {
    "ActivationRegularization": "tasks.language_modeling.options",
    "Attention": "nn",
    "AttentionDecoder": "nn",
    "Columns": "tasks.forecasting.files",
    "Covariates": "tasks.forecasting.options",
    "Decoder": "nn",
    "DecoderConfig": "tasks.translation.options",
    "Encoder": "nn",
    "EncoderConfig": "tasks.translation.options",
    "EncoderOptions": "tasks.forecasting.options",
    "GenerationConfig": "nn",
    "Initialization": "tasks.text_classification.options",
    "LSTMWithLayerNorm": "nn",
    "LabDataModule": "core.datamodule",
    "LossConfig": "classification.loss",
    "OutputOptions": "tasks.forecasting.options",
    "Predictor": "core.predictor",
    "RecordPredictor": "core.predictor",
    "ScheduledSampling": "nn",
    "SentimentDataset": "tasks.text_classification.textbook",
    "Seq2Seq": "nn",
    "Seq2SeqDropouts": "nn",
    "SplitConfig": "text.split",
    "StepOutput": "core.task",
    "Task": "core.task",
    "TextColumns": "tasks.text_classification.data",
    "TextLossConfig": "tasks.text_classification.options",
    "TokenizerConfig": "text.tokenizer",
    "TransformerOptions": "nn.transformer",
    "TranslationTokenizerConfig": "tasks.translation.tokenizer",
    "TruncatingTokenizerConfig": "tasks.text_classification.tokenizer",
    "UserError": "errors",
    "build": "commands._build",
    "collate_variable_length": "tasks.text_classification.textbook",
    "configure_cpu": "core.cpu",
    "configure_notebook": "training.notebook",
    "load": "core.loading",
    "train_forecaster": "tasks.forecasting.textbook",
}


def __getattr__(name: str) -> Any:
    if name == "__all__":  # for `help` and completion; imports all models and data modules
        exports = (import_module(f"rnn_lab.{module}").__all__ for module in _PUBLIC_MODULES)
        return sorted({*_MODULE_OF, *(name for names in exports for name in names)})
    candidates = _PUBLIC_MODULES if name[:1].isupper() else ()
    for path in [_MODULE_OF[name]] if name in _MODULE_OF else candidates:
        module = import_module(f"rnn_lab.{path}")
        if hasattr(module, name):
            return getattr(module, name)
    raise AttributeError(f"module 'rnn_lab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__")})
