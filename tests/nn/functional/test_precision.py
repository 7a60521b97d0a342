"""The state of autocast on devices with and without it."""

import pytest
import torch

from rnn_lab.nn.functional.precision import (
    at_least_float32,
    autocast_dtype,
    no_autocast,
    to_common_dtype,
)


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


def test_tensors_are_converted_to_the_most_precise_dtype():
    half, single, double = torch.zeros(1).bfloat16(), torch.zeros(1), torch.zeros(1).double()
    assert [x.dtype for x in to_common_dtype(half, single)] == [torch.float32] * 2
    assert [x.dtype for x in to_common_dtype(half, double, single)] == [torch.float64] * 3
    same = to_common_dtype(half, half)
    assert same[0] is half
    assert at_least_float32(half).dtype == torch.float32
    assert at_least_float32(double) is double
