import pytest
import torch

from rnn_lab.nn import GaussianNoise


def test_noise_has_the_requested_standard_deviation() -> None:
    torch.manual_seed(0)
    x = torch.full((200, 200), 3.0)
    added = GaussianNoise(0.5)(x) - x
    assert added.mean().item() == pytest.approx(0, abs=0.02)
    assert added.std().item() == pytest.approx(0.5, abs=0.02)


def test_there_is_no_noise_in_evaluation() -> None:
    x = torch.randn(3, 4)
    assert torch.equal(GaussianNoise(0.5).eval()(x), x)


def test_without_noise_no_random_numbers_are_drawn() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    GaussianNoise(0.0)(torch.ones(3))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("std", [-0.1, float("nan"), float("inf")])
def test_an_invalid_standard_deviation_is_an_error(std: float) -> None:
    with pytest.raises(ValueError, match="the standard deviation of noise must be at least 0"):
        GaussianNoise(std)
