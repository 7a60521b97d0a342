"""Recurrent layers, one file each with cell, kernel and layer.

To add a layer, write its file (`peephole_lstm.py` is an example of an unrolled cell, `min_gru.py`
of a scan over the whole sequence), add it to `LAYERS` in `registry.py` and export it here and in
`rnn_lab.nn`. The tests in `tests/nn/test_layers.py` then cover it.
"""

from rnn_lab.nn.layers.cell import Cell
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
from rnn_lab.nn.layers.unrolled import UnrolledRNN

__all__ = [
    "GRU",
    "LAYERS",
    "LRU",
    "LSTM",
    "MLSTM",
    "QRNN",
    "RGLRU",
    "RNN",
    "SLSTM",
    "SRU",
    "Cell",
    "GRUCell",
    "IndRNN",
    "IndRNNCell",
    "LSTMCell",
    "LSTMWithLayerNorm",
    "Layer",
    "LayerNormGRU",
    "LayerNormGRUCell",
    "LayerNormLSTM",
    "LayerNormLSTMCell",
    "MinGRU",
    "MinLSTM",
    "PeepholeLSTM",
    "PeepholeLSTMCell",
    "RNNCell",
    "SLSTMCell",
    "SRUCell",
    "SimpleRNN",
    "UnrolledRNN",
    "build_layer",
]
