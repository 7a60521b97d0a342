"""Laws of scans: the explicit sum, gradients, parallel against sequential."""

import pytest
import torch
from torch import Tensor

from rnn_lab.nn.functional import scan as module
from rnn_lab.nn.functional.padding import PaddingInfo
from rnn_lab.nn.functional.scan import complex_scan, lerp_scan, parallel_scan, scan, sequential_scan

TIME, BATCH, UNITS = 6, 3, 2
LENGTHS = torch.tensor([4, 6, 1])


def randn(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def inputs(time: int = TIME, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    a = randn(time, BATCH, UNITS, dtype=dtype).sigmoid()
    return (
        a,
        randn(time, BATCH, UNITS, dtype=dtype, seed=1),
        randn(BATCH, UNITS, dtype=dtype, seed=2),
    )


def complex_inputs() -> tuple[Tensor, Tensor, Tensor]:
    a = torch.view_as_real(torch.polar(randn(1, 1, UNITS).sigmoid(), randn(1, 1, UNITS, seed=3)))
    return a, randn(TIME, BATCH, UNITS, 2, seed=1), randn(BATCH, UNITS, 2, seed=2)


def explicit_sum(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """Compute every state as a sum: each input times all later factors."""
    states = []
    for t in range(len(b)):
        state = a[: t + 1].prod(0) * h
        for s in range(t + 1):
            state = state + a[s + 1 : t + 1].prod(0) * b[s]
        states.append(state)
    return torch.stack(states)


def padding_info() -> PaddingInfo:
    return PaddingInfo(LENGTHS, TIME, torch.device("cpu"))


def final_states(states: Tensor) -> Tensor:
    return states[LENGTHS - 1, torch.arange(BATCH)]


def with_grad(values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(value.clone().requires_grad_() for value in values)


@pytest.mark.parametrize("padded", [False, True])
def test_a_scan_is_the_explicit_sum(padded: bool) -> None:
    a, b, h = inputs()
    states, last = scan(a, b, h, padding_info() if padded else None)
    expected = explicit_sum(a, b, h)
    torch.testing.assert_close(states, expected)
    torch.testing.assert_close(last, final_states(expected) if padded else expected[-1])


@pytest.mark.parametrize("padded", [False, True])
def test_a_lerp_scan_is_a_scan_of_interpolations(padded: bool) -> None:
    a, x, h = inputs()
    states, last = lerp_scan(a, x, h, padding_info() if padded else None)
    expected = explicit_sum(a, (1 - a) * x, h)
    torch.testing.assert_close(states, expected)
    torch.testing.assert_close(last, final_states(expected) if padded else expected[-1])


@pytest.mark.parametrize("padded", [False, True])
def test_a_complex_scan_of_pairs_is_a_scan_of_complex_numbers(padded: bool) -> None:
    a, b, h = complex_inputs()
    states, last = complex_scan(a, b, h, padding_info() if padded else None)
    a, b, h = (torch.view_as_complex(part) for part in (a, b, h))
    expected = torch.view_as_real(explicit_sum(a.expand_as(b), b, h))
    torch.testing.assert_close(states, expected)
    torch.testing.assert_close(last, final_states(expected) if padded else expected[-1])


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("kind", [scan, lerp_scan, complex_scan])
def test_gradients_equal_finite_differences(
    kind: object, padded: bool, parallel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if parallel:
        monkeypatch.setattr(module, "_use_parallel_scan", lambda x: True)
    values = with_grad(complex_inputs() if kind is complex_scan else inputs())
    assert torch.autograd.gradcheck(lambda *v: kind(*v, padding_info() if padded else None), values)


@pytest.mark.parametrize("time", [1, 2, 3, 7, 8, 9, 64, 100])
def test_the_parallel_scan_equals_the_sequential_scan(time: int) -> None:
    a, b, h = inputs(time)
    torch.testing.assert_close(parallel_scan(a, b, h), sequential_scan(a, b, h))


@pytest.mark.parametrize("method", [sequential_scan, parallel_scan])
def test_single_precision_is_accurate_over_long_sequences(method: object) -> None:
    a, b, h = inputs(4096, torch.float32)
    a = 1 - 0.01 * a  # a time constant of hundreds of steps
    exact = sequential_scan(a.double(), b.double(), h.double())
    error = (method(a, b, h) - exact).abs().amax() / exact.abs().amax()
    assert error < 1e-4


@pytest.mark.parametrize("kind", [scan, lerp_scan, complex_scan])
def test_a_split_sequence_continues_from_the_final_state(kind: object) -> None:
    a, b, h = complex_inputs() if kind is complex_scan else inputs()
    full, last = kind(a, b, h)
    cut = (lambda part: a) if kind is complex_scan else (lambda part: a[part])
    first, middle = kind(cut(slice(0, 2)), b[:2], h)
    second, end = kind(cut(slice(2, None)), b[2:], middle)
    torch.testing.assert_close(torch.cat([first, second]), full)
    torch.testing.assert_close(end, last)
