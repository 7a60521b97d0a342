"""Recurrent layers and what stands around them, in plain PyTorch.

Importing this package makes the CPU flush denormal numbers to zero, in this thread and in all that
it starts later (see `denormals.py`): import it before your own first parallel operation. The
environment variable `RNN_LAB_KEEP_DENORMALS=1` leaves PyTorch as it ships.
"""

from rnn_lab.nn.denormals import flush_denormals
from rnn_lab.nn.dropout import EmbeddingDropout, WordDropout
from rnn_lab.nn.initialization import initialize
from rnn_lab.nn.pooling import (
    POOLINGS,
    AttentionOverTime,
    FinalState,
    MaxOverTime,
    MeanOverTime,
    lengths_to_mask,
    pool,
)
from rnn_lab.nn.recurrent import GRU, LSTM, RNN

flush_denormals()

LAYERS = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}

__all__ = [
    "GRU",
    "LAYERS",
    "LSTM",
    "POOLINGS",
    "RNN",
    "AttentionOverTime",
    "EmbeddingDropout",
    "FinalState",
    "MaxOverTime",
    "MeanOverTime",
    "WordDropout",
    "flush_denormals",
    "initialize",
    "lengths_to_mask",
    "pool",
]
