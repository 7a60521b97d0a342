"""The recurrent layers by the names that configs give them."""

import difflib
import inspect
from typing import Any, Literal

from rnn_lab.nn.initialization import initialize
from rnn_lab.nn.layers.fused import RecurrentLayer
from rnn_lab.nn.layers.gru import GRU
from rnn_lab.nn.layers.indrnn import IndRNN
from rnn_lab.nn.layers.layer_norm_gru import LayerNormGRU
from rnn_lab.nn.layers.layer_norm_lstm import LayerNormLSTM
from rnn_lab.nn.layers.lru import LRU
from rnn_lab.nn.layers.lstm import LSTM
from rnn_lab.nn.layers.lstm_with_layer_norm import LSTMWithLayerNorm
from rnn_lab.nn.layers.min_gru import MinGRU
from rnn_lab.nn.layers.min_lstm import MinLSTM
from rnn_lab.nn.layers.mlstm import MLSTM
from rnn_lab.nn.layers.peephole_lstm import PeepholeLSTM
from rnn_lab.nn.layers.qrnn import QRNN
from rnn_lab.nn.layers.rg_lru import RGLRU
from rnn_lab.nn.layers.rnn import RNN, SimpleRNN
from rnn_lab.nn.layers.slstm import SLSTM
from rnn_lab.nn.layers.sru import SRU
from rnn_lab.nn.layers.stack import StackedRNN
from rnn_lab.nn.layers.unrolled import Unrolled

Layer = RecurrentLayer | StackedRNN | LSTMWithLayerNorm
LAYERS: dict[str, type[Layer]] = {
    layer.__name__: layer
    for layer in (
        RNN,
        LSTM,
        GRU,
        SimpleRNN,
        LSTMWithLayerNorm,
        LayerNormLSTM,
        LayerNormGRU,
        PeepholeLSTM,
        IndRNN,
        SRU,
        SLSTM,
        QRNN,
        MinGRU,
        MinLSTM,
        LRU,
        RGLRU,
        MLSTM,
    )
}


def build_layer(
    name: str,
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    dropout: float = 0.0,
    bidirectional: bool = False,
    *,
    initialization: Literal["recommended", "torch"] = "recommended",
    options: dict[str, Any] | None = None,
) -> Layer:
    """Build a recurrent layer by its name, with good starting weights.

    Args:
        name: A name of `LAYERS`.
        input_size: Features of a step.
        hidden_size: Units of each layer and direction.
        num_layers: Layers on top of each other.
        dropout: Share of the features dropped between two layers, in training.
        bidirectional: Whether every layer reads backwards, too.
        initialization: `recommended` (of torch's layers what `initialize` does, of all others what
            their papers do) or `torch` (torch's own, for its own layers).
        options: What else the layer takes by name, such as `zoneout`, `weight_drop`, `locked`.

    Raises:
        ValueError: If there is no such layer, or it does not take an option.
    """
    if name not in LAYERS:
        near = difflib.get_close_matches(name, LAYERS, 3)
        wish = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(LAYERS)}"
        raise ValueError(f"there is no recurrent layer {name}: {wish}")
    layer, options = LAYERS[name], options or {}
    if unknown := options.keys() - (accepted := layer_kwargs(name)).keys():
        near = difflib.get_close_matches(min(unknown), accepted, 3) or list(accepted)
        raise ValueError(f"{name} has no option {min(unknown)}; it has {', '.join(near)}")
    dropout = dropout if num_layers > 1 else 0.0
    built = layer(input_size, hidden_size, num_layers, dropout, bidirectional, **options)
    torchs = built.lstm if isinstance(built, LSTMWithLayerNorm) else built
    if isinstance(torchs, RecurrentLayer):
        if initialization == "recommended":
            initialize(torchs)
    elif initialization != "recommended":
        raise ValueError(f"initialization={initialization} is for RNN, LSTM and GRU, not {name}")
    return built


def layer_kwargs(name: str) -> dict[str, Any]:
    """Give what a layer takes by name beside sizes, depth, dropout and direction: its defaults."""
    layer = LAYERS[name]
    taken = dict(inspect.signature(layer).parameters)
    if issubclass(layer, StackedRNN):
        kind = layer.cell if issubclass(layer, Unrolled) else layer.core
        taken |= inspect.signature(kind).parameters
    return {
        name: option.default for name, option in taken.items() if option.kind is option.KEYWORD_ONLY
    }
