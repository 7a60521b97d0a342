"""Laws of the linear recurrences: the sum written out, gradients, the tree against the loop."""

import pytest
import torch
from torch import Tensor

from rnn_lab.nn.functional import scan as scans
from rnn_lab.nn.functional.padding import PaddingInfo
from rnn_lab.nn.functional.scan import complex_scan, lerp_scan, parallel_scan, scan, sequential_scan

TIME, BATCH, UNITS = 6, 3, 2
LENGTHS = torch.tensor([4, 6, 1])


def draw(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def inputs(time: int = TIME, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    a = draw(time, BATCH, UNITS, dtype=dtype).sigmoid()
    return a, draw(time, BATCH, UNITS, dtype=dtype, seed=1), draw(BATCH, UNITS, dtype=dtype, seed=2)


def pairs() -> tuple[Tensor, Tensor, Tensor]:
    a = torch.view_as_real(torch.polar(draw(1, 1, UNITS).sigmoid(), draw(1, 1, UNITS, seed=3)))
    return a, draw(TIME, BATCH, UNITS, 2, seed=1), draw(BATCH, UNITS, 2, seed=2)


def written_out(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """Every state by its own sum: each input times all factors that came after it."""
    states = []
    for t in range(len(b)):
        state = a[: t + 1].prod(0) * h
        for s in range(t + 1):
            state = state + a[s + 1 : t + 1].prod(0) * b[s]
        states.append(state)
    return torch.stack(states)


def rows() -> PaddingInfo:
    return PaddingInfo(LENGTHS, TIME, torch.device("cpu"))


def ends(states: Tensor) -> Tensor:
    return states[LENGTHS - 1, torch.arange(BATCH)]


def require(values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(value.clone().requires_grad_() for value in values)


@pytest.mark.parametrize("ragged", [False, True])
def test_a_scan_is_the_sum_written_out(ragged: bool) -> None:
    a, b, h = inputs()
    states, last = scan(a, b, h, rows() if ragged else None)
    expected = written_out(a, b, h)
    torch.testing.assert_close(states, expected)
    torch.testing.assert_close(last, ends(expected) if ragged else expected[-1])


@pytest.mark.parametrize("ragged", [False, True])
def test_a_blend_is_a_scan_whose_parts_add_up_to_one(ragged: bool) -> None:
    a, x, h = inputs()
    states, last = lerp_scan(a, x, h, rows() if ragged else None)
    expected = written_out(a, (1 - a) * x, h)
    torch.testing.assert_close(states, expected)
    torch.testing.assert_close(last, ends(expected) if ragged else expected[-1])


@pytest.mark.parametrize("ragged", [False, True])
def test_rotating_pairs_is_a_scan_of_complex_numbers(ragged: bool) -> None:
    a, b, h = pairs()
    states, last = complex_scan(a, b, h, rows() if ragged else None)
    a, b, h = (torch.view_as_complex(part) for part in (a, b, h))
    expected = torch.view_as_real(written_out(a.expand_as(b), b, h))
    torch.testing.assert_close(states, expected)
    torch.testing.assert_close(last, ends(expected) if ragged else expected[-1])


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("kind", [scan, lerp_scan, complex_scan])
def test_gradients_are_those_of_finite_differences(
    kind: object, ragged: bool, parallel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if parallel:
        monkeypatch.setattr(scans, "_use_parallel_scan", lambda x: True)
    values = require(pairs() if kind is complex_scan else inputs())
    assert torch.autograd.gradcheck(lambda *v: kind(*v, rows() if ragged else None), values)


@pytest.mark.parametrize("time", [1, 2, 3, 7, 8, 9, 64, 100])
def test_the_tree_gives_what_the_loop_gives(time: int) -> None:
    a, b, h = inputs(time)
    torch.testing.assert_close(parallel_scan(a, b, h), sequential_scan(a, b, h))


@pytest.mark.parametrize("way", [sequential_scan, parallel_scan])
def test_single_precision_is_exact_over_long_rows(way: object) -> None:
    a, b, h = inputs(4096, torch.float32)
    a = 1 - 0.01 * a  # a memory of hundreds of steps
    exact = sequential_scan(a.double(), b.double(), h.double())
    error = (way(a, b, h) - exact).abs().amax() / exact.abs().amax()
    assert error < 1e-4


@pytest.mark.parametrize("kind", [scan, lerp_scan, complex_scan])
def test_the_state_carries_over_a_cut(kind: object) -> None:
    a, b, h = pairs() if kind is complex_scan else inputs()
    whole, last = kind(a, b, h)
    cut = (lambda part: a) if kind is complex_scan else (lambda part: a[part])
    first, middle = kind(cut(slice(0, 2)), b[:2], h)
    second, end = kind(cut(slice(2, None)), b[2:], middle)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(end, last)
