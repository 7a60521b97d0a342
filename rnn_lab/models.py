"""All models: named architectures, and the configurable model of each task."""

from rnn_lab.tasks.forecasting.baselines import (
    DLinearForecaster,
    DriftForecaster,
    LastValueForecaster,
    SeasonalNaiveForecaster,
)
from rnn_lab.tasks.forecasting.models import (
    DeepARForecaster,
    Forecaster,
    LSTMForecaster,
    PatchedLSTMForecaster,
    SegRNNForecaster,
)
from rnn_lab.tasks.forecasting.transformer import TransformerForecaster
from rnn_lab.tasks.language_modeling.models import AWDLSTM, LanguageModel, LSTMLanguageModel
from rnn_lab.tasks.regression.models import SequenceRegressor
from rnn_lab.tasks.sequence_classification.models import (
    BiGRUSequenceClassifier,
    GRUClassifier,
    LSTMSequenceClassifier,
    SequenceClassifier,
)
from rnn_lab.tasks.tagging.models import SequenceTagger
from rnn_lab.tasks.text_classification.linear import BagOfNgramsClassifier
from rnn_lab.tasks.text_classification.models import (
    BiLSTMClassifier,
    LSTMClassifier,
    PackedLSTM,
    SentimentLSTM,
    TextClassifier,
)
from rnn_lab.tasks.text_classification.transformer import TransformerClassifier
from rnn_lab.tasks.translation.models import AttentionTranslator, Seq2SeqTranslator, Translator
from rnn_lab.tasks.translation.transformer import TransformerTranslator

__all__ = [
    "AWDLSTM",
    "AttentionTranslator",
    "BagOfNgramsClassifier",
    "BiGRUSequenceClassifier",
    "BiLSTMClassifier",
    "DLinearForecaster",
    "DeepARForecaster",
    "DriftForecaster",
    "Forecaster",
    "GRUClassifier",
    "LSTMClassifier",
    "LSTMForecaster",
    "LSTMLanguageModel",
    "LSTMSequenceClassifier",
    "LanguageModel",
    "LastValueForecaster",
    "PackedLSTM",
    "PatchedLSTMForecaster",
    "SeasonalNaiveForecaster",
    "SegRNNForecaster",
    "SentimentLSTM",
    "Seq2SeqTranslator",
    "SequenceClassifier",
    "SequenceRegressor",
    "SequenceTagger",
    "TextClassifier",
    "TransformerClassifier",
    "TransformerForecaster",
    "TransformerTranslator",
    "Translator",
]
