"""Recurrent layers and what stands around them, in plain PyTorch.

Importing this package makes the CPU flush denormal numbers to zero, in this thread and in all that
it starts later (see `denormals.py`): import it before your own first parallel operation. It also
makes the process keep memory that it frees (see `allocation.py`). The environment variables
`RNN_LAB_KEEP_DENORMALS=1` and `RNN_LAB_RETURN_MEMORY=1` leave PyTorch as it ships.
"""

from rnn_lab.nn.allocation import keep_memory
from rnn_lab.nn.attention import (
    ATTENTIONS,
    AdditiveAttention,
    Attention,
    AttentionLayer,
    GeneralAttention,
    Memory,
    ScaledDotAttention,
)
from rnn_lab.nn.decoders import AttentionDecoder, Decoder, GNMTDecoder, LuongDecoder
from rnn_lab.nn.decoding import Hypothesis
from rnn_lab.nn.denormals import flush_denormals
from rnn_lab.nn.dropout import EmbeddingDropout, LockedDropout, WordDropout
from rnn_lab.nn.forcing import TeacherForcing
from rnn_lab.nn.forecasting import (
    DirectDecoder,
    LinearDecomposition,
    SegmentDecoder,
    SegmentEmbedding,
    WindowScaling,
)
from rnn_lab.nn.initialization import initialize
from rnn_lab.nn.layers import LAYERS
from rnn_lab.nn.losses import word_cross_entropy
from rnn_lab.nn.noise import GaussianNoise
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
from rnn_lab.nn.seq2seq import Bridge, Encoder, Seq2Seq
from rnn_lab.nn.strategies import Strategy

flush_denormals()
keep_memory()

__all__ = [
    "ATTENTIONS",
    "GRU",
    "LAYERS",
    "LSTM",
    "POOLINGS",
    "RNN",
    "AdditiveAttention",
    "Attention",
    "AttentionDecoder",
    "AttentionLayer",
    "AttentionOverTime",
    "Bridge",
    "Decoder",
    "DirectDecoder",
    "EmbeddingDropout",
    "Encoder",
    "FinalState",
    "GNMTDecoder",
    "GaussianNoise",
    "GeneralAttention",
    "Hypothesis",
    "LinearDecomposition",
    "LockedDropout",
    "LuongDecoder",
    "MaxOverTime",
    "MeanOverTime",
    "Memory",
    "ScaledDotAttention",
    "SegmentDecoder",
    "SegmentEmbedding",
    "Seq2Seq",
    "Strategy",
    "TeacherForcing",
    "WindowScaling",
    "WordDropout",
    "flush_denormals",
    "initialize",
    "keep_memory",
    "lengths_to_mask",
    "pool",
    "word_cross_entropy",
]
