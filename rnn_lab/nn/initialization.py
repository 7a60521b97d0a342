"""Starting weights with which recurrent layers learn well."""

from torch import Tensor, nn


def initialize(layer: nn.RNNBase) -> None:
    """Fill a recurrent layer, gate by gate, with the recommended starting weights.

    Recurrent weights become orthogonal, input weights Glorot uniform and biases zero, except the
    forget gate of an LSTM, which starts at one, half open towards remembering.

    Source: Saxe et al. (2014), https://arxiv.org/abs/1312.6120 (orthogonal); Glorot & Bengio
    (2010), https://proceedings.mlr.press/v9/glorot10a.html; Jozefowicz et al. (2015),
    https://proceedings.mlr.press/v37/jozefowicz15.html (forget bias).

    Args:
        layer: `RNN`, `LSTM` or `GRU`, ours or torch's, of any depth and both directions.
    """
    for name, parameter in layer.named_parameters():
        if name.startswith("first"):
            continue  # a learned state starts at zero
        gates = parameter.detach().split(layer.hidden_size)
        if name.startswith("bias"):
            _fill_bias(gates, forget=1.0 if name.startswith("bias_ih") else 0.0)
        else:
            fill = nn.init.orthogonal_ if name.startswith("weight_hh") else nn.init.xavier_uniform_
            for gate in gates:
                fill(gate)


def _fill_bias(gates: tuple[Tensor, ...], forget: float) -> None:
    for gate in gates:
        gate.zero_()
    if len(gates) == 4:  # an LSTM's input, forget, cell and output gate
        gates[1].fill_(forget)
