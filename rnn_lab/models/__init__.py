"""Tasks: what is minimised, what is measured, and the named architectures."""

from rnn_lab.models.baselines import (
    DLinearForecaster,
    DriftForecaster,
    LastValueForecaster,
    SeasonalNaiveForecaster,
)
from rnn_lab.models.classification import (
    BiLSTMClassifier,
    LSTMClassifier,
    PackedLSTM,
    SentimentLSTM,
    TextClassifier,
)
from rnn_lab.models.forecasting import (
    DeepARForecaster,
    Forecaster,
    LSTMForecaster,
    PatchedLSTMForecaster,
    SegRNNForecaster,
)
from rnn_lab.models.series_classification import (
    BiGRUClassifier,
    GRUClassifier,
    LSTMSeriesClassifier,
    SeriesClassifier,
)
from rnn_lab.models.task import Scores, Task
from rnn_lab.models.translation import AttentionTranslator, Seq2SeqTranslator, Translator

__all__ = [
    "AttentionTranslator",
    "BiGRUClassifier",
    "BiLSTMClassifier",
    "DLinearForecaster",
    "DeepARForecaster",
    "DriftForecaster",
    "Forecaster",
    "GRUClassifier",
    "LSTMClassifier",
    "LSTMForecaster",
    "LSTMSeriesClassifier",
    "LastValueForecaster",
    "PackedLSTM",
    "PatchedLSTMForecaster",
    "Scores",
    "SeasonalNaiveForecaster",
    "SegRNNForecaster",
    "SentimentLSTM",
    "Seq2SeqTranslator",
    "SeriesClassifier",
    "Task",
    "TextClassifier",
    "Translator",
]
