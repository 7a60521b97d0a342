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

__all__ = [
    "BiLSTMClassifier",
    "GRUClassifier",
    "LSTMClassifier",
    "PackedLSTM",
    "Scores",
    "SentimentLSTM",
    "Task",
    "TextClassifier",
]
