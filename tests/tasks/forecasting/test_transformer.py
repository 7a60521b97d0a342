"""The Transformer over patches."""

import pytest
import torch

from rnn_lab.errors import UserError
from rnn_lab.models import TransformerForecaster


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_every_step_of_the_window_is_read(positions):
    torch.manual_seed(0)
    model = TransformerForecaster(
        19, 8, 1, 4, patch_length=5, stride=3, transformer={"positions": positions}
    )
    x = torch.randn(1, 19, 1, requires_grad=True)
    model.eval()(x).square().sum().backward()
    assert (x.grad != 0).all()


@pytest.mark.parametrize(
    ("steps", "patch_length", "stride", "patches"),
    [(336, 16, 8, 42), (512, 16, 8, 64), (5, 5, 9, 2)],
)
def test_windows_have_as_many_patches_as_in_the_paper(steps, patch_length, stride, patches):
    model = TransformerForecaster(steps, 8, 1, 4, patch_length=patch_length, stride=stride)
    assert model.head.in_features == 8 * patches
    assert model(torch.randn(2, steps, 1)).shape == (2, 4)


def test_the_last_patch_repeats_the_last_value(monkeypatch):
    model = TransformerForecaster(8, 8, 1, 4, patch_length=4, stride=2, normalization="none")
    seen = []
    monkeypatch.setattr(model.embedding, "forward", lambda x: seen.append(x) or x.repeat(1, 1, 2))
    model(torch.arange(8.0).view(1, 8, 1))
    assert seen[0][0].tolist() == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [6, 7, 7, 7]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_length": 12}, r"patch_length must be at most input_length \(12\), got 16"),
        ({"input_length": None}, "TransformerForecaster needs input_length"),
        ({"stride": 0}, "stride must be at least 1, got 0"),
        ({"hidden_dim": 6}, r"must be a multiple of transformer.num_heads \(4\), got 6"),
        ({"normalization": "x"}, "normalization must be one of none"),
        ({"output": "x"}, "output must be one of point"),
        ({"output": "negative_binomial"}, "set the model's normalization to mean or none"),
        ({"output": "gaussian", "output_options": {"loss": "mae"}}, "requires output=point"),
        ({"output_dim": 7, "horizon": 2}, "output_dim must be a multiple of horizon"),
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        TransformerForecaster(**{"input_length": 48, "output_dim": 4, **arguments})
