"""The state of autocast on devices with and without it."""

import pytest
import torch

from rnn_lab.nn.functional.autocast import autocast_dtype, no_autocast


def test_the_dtype_of_autocast_is_that_of_the_device():
    x = torch.zeros(1)
    assert autocast_dtype(x) is None
    with torch.autocast("cpu", torch.bfloat16):
        assert autocast_dtype(x) == torch.bfloat16
        assert autocast_dtype(x.to("meta")) is None
        with no_autocast(x.device):
            assert autocast_dtype(x) is None


@pytest.mark.parametrize("device", ["cpu", "cuda", "meta"])
def test_autocast_is_off_on_every_device(device):
    with torch.autocast("cpu", torch.bfloat16), no_autocast(torch.device(device)):
        assert torch.is_autocast_enabled("cpu") == (device != "cpu")
