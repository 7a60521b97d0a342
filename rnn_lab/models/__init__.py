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
from rnn_lab.models.language import AWDLSTM, LanguageModel, LSTMLanguageModel
from rnn_lab.models.regression import SeriesRegressor
from rnn_lab.models.series_classification import (
    BiGRUClassifier,
    GRUClassifier,
    LSTMSeriesClassifier,
    SeriesClassifier,
)
from rnn_lab.models.tagging import SequenceTagger
from rnn_lab.models.task import Scores, Task
from rnn_lab.models.translation import AttentionTranslator, Seq2SeqTranslator, Translator

__all__ = [
    "AWDLSTM",
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
    "LSTMLanguageModel",
    "LSTMSeriesClassifier",
    "LanguageModel",
    "LastValueForecaster",
    "PackedLSTM",
    "PatchedLSTMForecaster",
    "Scores",
    "SeasonalNaiveForecaster",
    "SegRNNForecaster",
    "SentimentLSTM",
    "Seq2SeqTranslator",
    "SequenceTagger",
    "SeriesClassifier",
    "SeriesRegressor",
    "Task",
    "TextClassifier",
    "Translator",
]
