"""The Transformer encoder."""

import pytest
import torch
from torch import nn

from rnn_lab.nn.transformer import (
    PositionalEncoding,
    TransformerEncoder,
    TransformerOptions,
    sinusoids,
)

SIZE = 8


def build(**options):
    torch.manual_seed(0)
    return TransformerEncoder(SIZE, 2, TransformerOptions(**options)).eval()


def test_sinusoids_are_those_of_the_paper():
    encoding = sinusoids(0, 20, SIZE)
    for position in range(20):
        for i in range(SIZE // 2):
            angle = torch.tensor(position / 10_000 ** (2 * i / SIZE))
            torch.testing.assert_close(encoding[position, i], angle.sin(), atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(
                encoding[position, i + SIZE // 2], angle.cos(), atol=1e-5, rtol=1e-4
            )


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_positions_may_begin_anywhere(positions):
    encode = PositionalEncoding(SIZE, TransformerOptions(positions=positions))
    x = torch.randn(2, 7, SIZE)
    torch.testing.assert_close(encode(x[:, 4:], 4), encode(x)[:, 4:])


@pytest.mark.parametrize("norm_first", [False, True])
def test_it_equals_the_encoder_of_torch(norm_first):
    model = build(norm_first=norm_first)
    layer = nn.TransformerEncoderLayer(
        SIZE, 4, 4 * SIZE, 0.0, batch_first=True, norm_first=norm_first
    )
    reference = nn.TransformerEncoder(layer, 2, model.norm if norm_first else None, False).eval()
    reference.layers.load_state_dict(model.layers.state_dict())
    x = torch.randn(3, 5, SIZE)
    torch.testing.assert_close(model(x), reference(x + sinusoids(0, 5, SIZE)))


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
@pytest.mark.parametrize("training", [False, True])
def test_padding_is_never_read_forward_or_backward(norm_first, positions, training):
    model = build(norm_first=norm_first, positions=positions).train(training)
    x, lengths = torch.randn(3, 6, SIZE, requires_grad=True), torch.tensor([6, 1, 4])
    output = model(x, lengths)
    real = (torch.arange(6) < lengths.unsqueeze(1)).unsqueeze(2)
    torch.where(real, output, 0).square().sum().backward()
    assert (x.grad.masked_select(~real) == 0).all()
    for row, length in enumerate(lengths):
        alone = model(x[row : row + 1, :length])
        torch.testing.assert_close(alone[0], output[row, :length], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 0}, "transformer.num_heads must be at least 1, got 0"),
        ({"feedforward_dim": 0}, "transformer.feedforward_dim must be at least 1, got 0"),
        ({"max_positions": 0}, "transformer.max_positions must be at least 1, got 0"),
        ({"positions": "rotary"}, "positions must be sinusoidal, learned, got 'rotary'"),
        ({"num_heads": 3}, r"hidden_dim must be a multiple of transformer.num_heads \(3\), got 8"),
    ],
)
def test_invalid_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_sinusoidal_positions_need_an_even_size():
    with pytest.raises(ValueError, match="hidden_dim must be even with sinusoidal positions"):
        TransformerEncoder(3, 1, TransformerOptions(num_heads=1))
