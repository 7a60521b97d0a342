"""Weight initialization of recurrent layers."""

from torch import Tensor, nn


def initialize(layer: nn.RNNBase) -> None:
    """Initialize a recurrent layer gate by gate with the recommended weights.

    Recurrent weights are orthogonal, input weights Glorot uniform and biases zero, except for the
    forget gate of an LSTM, whose bias is one.

    Source: Saxe et al. (2014), https://arxiv.org/abs/1312.6120 (orthogonal); Glorot & Bengio
    (2010), https://proceedings.mlr.press/v9/glorot10a.html; Jozefowicz et al. (2015),
    https://proceedings.mlr.press/v37/jozefowicz15.html (forget bias).

    Args:
        layer: `RNN`, `LSTM` or `GRU` of this package or of torch, with any number of layers and
            directions.
    """
    for name, parameter in layer.named_parameters():
        if name.startswith("initial_state"):
            continue  # a trainable initial state starts at zero
        gates = parameter.detach().split(layer.hidden_size)
        if name.startswith("bias"):
            _init_bias(gates, forget=1.0 if name.startswith("bias_ih") else 0.0)
        else:
            recurrent = name.startswith("weight_hh")
            init = nn.init.orthogonal_ if recurrent else nn.init.xavier_uniform_
            for gate in gates:
                init(gate)


def _init_bias(gates: tuple[Tensor, ...], forget: float) -> None:
    for gate in gates:
        gate.zero_()
    if len(gates) == 4:  # input, forget, cell and output gate of an LSTM
        gates[1].fill_(forget)
