"""Time, memory and the rate of matrix products."""

import mmap
import sys
import time

import pytest
import torch

from rnn_lab.benchmarks import timing
from rnn_lab.benchmarks.layers import make_layer
from rnn_lab.benchmarks.timing import (
    AnonymousMemory,
    MatrixProducts,
    counted_flops,
    peak_megabytes,
    timed,
)
from rnn_lab.nn import LAYERS
from rnn_lab.nn.functional.linear import linear_nograd
from rnn_lab.nn.layers.fused import FusedRNN

UNITS, BATCH, STEPS = 16, 4, 10
UNCOUNTED = {"MLSTM": 1.5}  # times the counted operations, with those on its memory


def test_the_time_of_a_run_is_measured():
    assert timed(lambda: time.sleep(0.01)) >= 0.01


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak")
def test_the_peak_of_memory_that_is_freed_again_is_measured():
    megabytes = peak_megabytes(lambda: torch.ones(8 << 20).sum())  # four bytes each
    assert 25 < megabytes < 60


def test_memory_is_unknown_where_the_system_does_not_tell(monkeypatch):
    def fail(field):
        raise OSError

    monkeypatch.setattr(timing, "_status_bytes", fail)
    assert peak_megabytes(lambda: None) is None


@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_rate_is_that_of_the_fastest_product(bfloat16, monkeypatch):
    products = MatrixProducts([(2, 3, 4), (20, 30, 40)], bfloat16)
    assert [flops for flops, _ in products.products] == [48.0, 48.0, 48000.0, 48000.0]
    monkeypatch.setattr(products, "_seconds", lambda run: 2.0)
    assert products.best_rate() == 24000.0


def test_a_product_is_repeated_and_its_best_time_counts(monkeypatch):
    times = iter([0.002, 0.001, 0.004])
    monkeypatch.setattr(timing, "timed", lambda run, device: next(times))
    assert MatrixProducts([(1, 1, 1)])._seconds(lambda: None) == 0.001


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the anonymous memory")
def test_anonymous_memory_is_measured_while_it_is_held():
    size = 64 << 20
    with AnonymousMemory() as memory, mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE) as held:
        for page in range(0, size, mmap.PAGESIZE):
            held[page] = 1
        end = time.monotonic() + 60
        while memory.megabytes < 60 and time.monotonic() < end:
            time.sleep(timing.INTERVAL)
    assert 60 < memory.megabytes < 90


@pytest.mark.parametrize("name", LAYERS)
def test_the_operations_of_a_layer_are_those_that_torch_counts(name):
    layer = make_layer(name, UNITS)
    for module in layer.modules():
        if isinstance(module, FusedRNN):
            module.zoneout = 1e-9  # computed step by step
    x = torch.randn(BATCH, STEPS, UNITS, requires_grad=True)
    counted = counted_flops(lambda: layer(x)[0].sum().backward()) / (BATCH * STEPS)
    expected = timing.training_flops(layer)
    assert expected * 0.98 <= counted <= expected * UNCOUNTED.get(name, 1.02)


def test_products_by_onednn_and_in_layers_of_torch_are_counted():
    x, weight = torch.ones(2, 3), torch.ones(4, 3)
    assert counted_flops(lambda: linear_nograd(x, weight)) == 2 * 2 * 3 * 4
    layer = torch.nn.LSTM(3, 4)
    with torch.no_grad():
        assert counted_flops(lambda: layer(torch.ones(5, 2, 3))) == 5 * 2 * 2 * 16 * (3 + 4)
