"""QRNN against its equations."""

import pytest
import torch
from torch import Tensor

from rnn_lab.nn.layers.qrnn import QRNN

INPUT, HIDDEN, TIME, BATCH = 5, 4, 7, 3


def randn(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def reference(layer: QRNN, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    core, before, output = layer.layers[0], torch.zeros_like(x[:, 0]), []
    for x_t in x.unbind(1):
        window = torch.cat([before, x_t], -1) if core.window == 2 else x_t
        z, f, o = (window @ core.weight.T + core.bias).chunk(3, -1)
        c = f.sigmoid() * c + (1 - f.sigmoid()) * z.tanh()
        output.append(o.sigmoid() * c)
        before = x_t
    return torch.stack(output, 1), c


@pytest.mark.parametrize("window", [1, 2])
def test_a_qrnn_follows_its_equations(window: int) -> None:
    torch.manual_seed(0)
    layer, x = QRNN(INPUT, HIDDEN, window=window).double(), randn(BATCH, TIME, INPUT)
    output, state = layer(x)
    expected, last = reference(layer, x, torch.zeros(BATCH, HIDDEN, dtype=x.dtype))
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(state[0][0] if window == 2 else state[0], last)


def test_a_qrnn_of_window_two_keeps_the_last_input_in_its_state() -> None:
    torch.manual_seed(0)
    layer, x = QRNN(INPUT, HIDDEN, 2).double(), randn(BATCH, TIME, INPUT)
    full, end = layer(x)
    lengths = torch.tensor([2, 3, 1])
    _, middle = layer(x[:, :3], lengths)
    for row, length in enumerate(lengths.tolist()):
        state = tuple(part[:, row : row + 1] for part in middle)
        rest, last = layer(x[row : row + 1, length:], state=state)
        torch.testing.assert_close(rest[0], full[row, length:])
        for part, expected in zip(last, end, strict=True):
            torch.testing.assert_close(part[:, 0], expected[:, row])


def test_a_qrnn_supports_windows_of_one_and_two_only() -> None:
    with pytest.raises(ValueError, match="window must be 1 or 2, got 3"):
        QRNN(INPUT, HIDDEN, window=3)
