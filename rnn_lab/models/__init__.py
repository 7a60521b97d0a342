"""Tasks: what is minimised, what is measured, and the named architectures."""

from rnn_lab.models.classification import (
    BiLSTMClassifier,
    GRUClassifier,
    LSTMClassifier,
    PackedLSTM,
    SentimentLSTM,
    TextClassifier,
)
from rnn_lab.models.task import Scores, Task
from rnn_lab.models.translation import AttentionTranslator, Seq2SeqTranslator, Translator

__all__ = [
    "AttentionTranslator",
    "BiLSTMClassifier",
    "GRUClassifier",
    "LSTMClassifier",
    "PackedLSTM",
    "Scores",
    "SentimentLSTM",
    "Seq2SeqTranslator",
    "Task",
    "TextClassifier",
    "Translator",
]
