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
from rnn_lab.nn.cells import (
    GRUCell,
    IndRNNCell,
    LayerNormGRUCell,
    LayerNormLSTMCell,
    LSTMCell,
    PeepholeLSTMCell,
    RNNCell,
    SLSTMCell,
    SRUCell,
)
from rnn_lab.nn.decoders import AttentionDecoder, Decoder, GNMTDecoder, LuongDecoder
from rnn_lab.nn.decoding import Hypothesis
from rnn_lab.nn.denormals import flush_denormals
from rnn_lab.nn.diagonal_scans import LRU, RGLRU
from rnn_lab.nn.dropout import EmbeddingDropout, LockedDropout, WordDropout
from rnn_lab.nn.forcing import TeacherForcing
from rnn_lab.nn.forecasting import (
    DirectDecoder,
    LinearDecomposition,
    SegmentDecoder,
    SegmentEmbedding,
    WindowScaling,
)
from rnn_lab.nn.gated_scans import QRNN, MinGRU, MinLSTM
from rnn_lab.nn.initialization import initialize
from rnn_lab.nn.layers import LAYERS, Layer, build_layer
from rnn_lab.nn.losses import word_cross_entropy
from rnn_lab.nn.matrix_memory import MLSTM
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
from rnn_lab.nn.unrolled import (
    SLSTM,
    SRU,
    IndRNN,
    LayerNormGRU,
    LayerNormLSTM,
    LSTMWithLayerNorm,
    PeepholeLSTM,
    SimpleRNN,
)

flush_denormals()
keep_memory()

__all__ = [
    "ATTENTIONS",
    "GRU",
    "LAYERS",
    "LRU",
    "LSTM",
    "MLSTM",
    "POOLINGS",
    "QRNN",
    "RGLRU",
    "RNN",
    "SLSTM",
    "SRU",
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
    "GRUCell",
    "GaussianNoise",
    "GeneralAttention",
    "Hypothesis",
    "IndRNN",
    "IndRNNCell",
    "LSTMCell",
    "LSTMWithLayerNorm",
    "Layer",
    "LayerNormGRU",
    "LayerNormGRUCell",
    "LayerNormLSTM",
    "LayerNormLSTMCell",
    "LinearDecomposition",
    "LockedDropout",
    "LuongDecoder",
    "MaxOverTime",
    "MeanOverTime",
    "Memory",
    "MinGRU",
    "MinLSTM",
    "PeepholeLSTM",
    "PeepholeLSTMCell",
    "RNNCell",
    "SLSTMCell",
    "SRUCell",
    "ScaledDotAttention",
    "SegmentDecoder",
    "SegmentEmbedding",
    "Seq2Seq",
    "SimpleRNN",
    "Strategy",
    "TeacherForcing",
    "WindowScaling",
    "WordDropout",
    "build_layer",
    "flush_denormals",
    "initialize",
    "keep_memory",
    "lengths_to_mask",
    "pool",
    "word_cross_entropy",
]
