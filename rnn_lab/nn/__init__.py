"""Recurrent layers and what they are built of, in plain PyTorch."""

from rnn_lab.nn.dropout import EmbeddingDropout, VariationalDropout, WordDropout
from rnn_lab.nn.functional.cross_entropy import linear_cross_entropy
from rnn_lab.nn.functional.padding import lengths_to_mask
from rnn_lab.nn.initialization import initialize
from rnn_lab.nn.layers.gru import GRU, GRUCell
from rnn_lab.nn.layers.indrnn import IndRNN, IndRNNCell
from rnn_lab.nn.layers.layer_norm_gru import LayerNormGRU, LayerNormGRUCell
from rnn_lab.nn.layers.layer_norm_lstm import LayerNormLSTM, LayerNormLSTMCell
from rnn_lab.nn.layers.lru import LRU
from rnn_lab.nn.layers.lstm import LSTM, LSTMCell
from rnn_lab.nn.layers.lstm_with_layer_norm import LSTMWithLayerNorm
from rnn_lab.nn.layers.min_gru import MinGRU
from rnn_lab.nn.layers.min_lstm import MinLSTM
from rnn_lab.nn.layers.mlstm import MLSTM
from rnn_lab.nn.layers.peephole_lstm import PeepholeLSTM, PeepholeLSTMCell
from rnn_lab.nn.layers.qrnn import QRNN
from rnn_lab.nn.layers.registry import LAYERS, Layer, build_layer
from rnn_lab.nn.layers.rg_lru import RGLRU
from rnn_lab.nn.layers.rnn import RNN, RNNCell, SimpleRNN
from rnn_lab.nn.layers.slstm import SLSTM, SLSTMCell
from rnn_lab.nn.layers.sru import SRU, SRUCell
from rnn_lab.nn.noise import GaussianNoise
from rnn_lab.nn.pooling import (
    POOLINGS,
    AttentionPooling,
    FinalState,
    MaxPooling,
    MeanPooling,
    build_pooling,
)
from rnn_lab.nn.seq2seq.attention import (
    ATTENTIONS,
    AdditiveAttention,
    Attention,
    AttentionLayer,
    GeneralAttention,
    Memory,
    ScaledDotAttention,
)
from rnn_lab.nn.seq2seq.decoders import (
    AttentionDecoder,
    Decoder,
    GNMTDecoder,
    InputFeedingDecoder,
    LuongDecoder,
)
from rnn_lab.nn.seq2seq.dropouts import Seq2SeqDropouts
from rnn_lab.nn.seq2seq.encoder import Encoder
from rnn_lab.nn.seq2seq.generation_config import BEAM_SEARCH, GREEDY, GenerationConfig
from rnn_lab.nn.seq2seq.hypotheses import Hypothesis
from rnn_lab.nn.seq2seq.model import Bridge, Seq2Seq
from rnn_lab.nn.seq2seq.scheduled_sampling import ScheduledSampling

__all__ = [
    "ATTENTIONS",
    "BEAM_SEARCH",
    "GREEDY",
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
    "AttentionPooling",
    "Bridge",
    "Decoder",
    "EmbeddingDropout",
    "Encoder",
    "FinalState",
    "GNMTDecoder",
    "GRUCell",
    "GaussianNoise",
    "GeneralAttention",
    "GenerationConfig",
    "Hypothesis",
    "IndRNN",
    "IndRNNCell",
    "InputFeedingDecoder",
    "LSTMCell",
    "LSTMWithLayerNorm",
    "Layer",
    "LayerNormGRU",
    "LayerNormGRUCell",
    "LayerNormLSTM",
    "LayerNormLSTMCell",
    "LuongDecoder",
    "MaxPooling",
    "MeanPooling",
    "Memory",
    "MinGRU",
    "MinLSTM",
    "PeepholeLSTM",
    "PeepholeLSTMCell",
    "RNNCell",
    "SLSTMCell",
    "SRUCell",
    "ScaledDotAttention",
    "ScheduledSampling",
    "Seq2Seq",
    "Seq2SeqDropouts",
    "SimpleRNN",
    "VariationalDropout",
    "WordDropout",
    "build_layer",
    "build_pooling",
    "initialize",
    "lengths_to_mask",
    "linear_cross_entropy",
]
