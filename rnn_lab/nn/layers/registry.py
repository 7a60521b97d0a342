"""Registry of recurrent layers by the names used in configs."""

import difflib
import inspect
from typing import Any, Literal

from rnn_lab.nn.initialization import initialize
from rnn_lab.nn.layers.fused import FusedRNN
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
from rnn_lab.nn.layers.unrolled import UnrolledRNN

Layer = StackedRNN | LSTMWithLayerNorm
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


def layer_class(name: str) -> type[Layer]:
    """Return the class of a recurrent layer.

    Args:
        name: Name in `LAYERS`.

    Raises:
        ValueError: If there is no layer of that name.
    """
    if name not in LAYERS:
        same = [each for each in LAYERS if each.lower() == name.lower()]
        matches = same or difflib.get_close_matches(name, LAYERS, 3)
        hint = (
            f"did you mean {' or '.join(matches)}?"
            if matches
            else f"use {', '.join(LAYERS)}; a layer of your own needs an import of its module"
        )
        raise ValueError(f"there is no recurrent layer {name}: {hint}")
    return LAYERS[name]


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
    """Build a recurrent layer by name and initialize its weights.

    Args:
        name: Name in `LAYERS`.
        input_size: Number of input features.
        hidden_size: Number of units per layer and direction.
        num_layers: Number of stacked recurrent layers.
        dropout: Dropout probability between layers.
        bidirectional: If True, use bidirectional layers.
        initialization: `recommended` (`initialize` for torch's layers, the papers' own for all
            others) or `torch` (torch's defaults, only for its own layers).
        options: Further options of the layer, such as `zoneout` or `weight_drop`.

    Raises:
        ValueError: If there is no layer of that name, or it does not have an option.
    """
    layer, options = layer_class(name), options or {}
    if unknown := options.keys() - (known := layer_kwargs(name)).keys():
        matches = difflib.get_close_matches(min(unknown), known, 3) or list(known)
        raise ValueError(f"{name} has no option {min(unknown)}; it has {', '.join(matches)}")
    dropout = dropout if num_layers > 1 else 0.0
    built = layer(input_size, hidden_size, num_layers, dropout, bidirectional, **options)
    torch_layer = built.lstm if isinstance(built, LSTMWithLayerNorm) else built
    if isinstance(torch_layer, FusedRNN):
        if initialization == "recommended":
            initialize(torch_layer)
    elif initialization != "recommended":
        raise ValueError(
            f"initialization={initialization} is only supported for RNN, LSTM and GRU, not {name}"
        )
    return built


def layer_kwargs(name: str) -> dict[str, Any]:
    """Return the keyword-only options of a layer with their defaults."""
    layer = LAYERS[name]
    parameters = dict(inspect.signature(layer).parameters)
    if issubclass(layer, StackedRNN) and not issubclass(layer, FusedRNN):
        part = layer.cell if issubclass(layer, UnrolledRNN) else layer.layer_class
        parameters |= inspect.signature(part).parameters
    return {
        name: parameter.default
        for name, parameter in parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
