"""The recurrent layers by the names that configs give them."""

from rnn_lab.nn.recurrent import GRU, LSTM, RNN, RecurrentLayer

LAYERS: dict[str, type[RecurrentLayer]] = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}


def layer_class(name: str) -> type[RecurrentLayer]:
    """Find a recurrent layer by its name.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in LAYERS:
        raise ValueError(f"layer must be one of {', '.join(LAYERS)}, got {name!r}")
    return LAYERS[name]
