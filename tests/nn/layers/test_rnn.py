"""The unrolled simple RNN against torch's RNN."""

import torch
from torch import Tensor, nn

from rnn_lab.nn.layers.rnn import SimpleRNN

HIDDEN, BATCH, TIME = 6, 4, 9


def randn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_a_simple_rnn_equals_torchs_rnn() -> None:
    layer, x = SimpleRNN(5, HIDDEN).double(), randn(BATCH, TIME, 5).requires_grad_()
    torch_rnn = nn.RNN(5, HIDDEN, batch_first=True).double()
    cell = layer.layers[0].cell
    torch_rnn.load_state_dict({f"{key}_l0": value for key, value in cell.state_dict().items()})
    output, state = layer(x)
    expected, last = torch_rnn(x)
    torch.testing.assert_close((output, state), (expected, last))
    weight = randn(*output.shape, seed=3)
    grads = torch.autograd.grad((output * weight).sum(), (x, cell.weight_hh))
    torch_grads = torch.autograd.grad((expected * weight).sum(), (x, torch_rnn.weight_hh_l0))
    torch.testing.assert_close(grads, torch_grads)
