"""Unrolled cells: their kernels equal single steps."""

import pytest
import torch
from torch import Tensor

from rnn_lab.nn import layers
from rnn_lab.nn.layers.indrnn import IndRNNCell
from rnn_lab.nn.layers.stack import StackedRNN

HIDDEN, BATCH, TIME = 6, 4, 35  # more steps than a kernel processes in one chunk

KERNELS = [
    (layers.LayerNormLSTM, {"norm": "all"}),
    (layers.LayerNormLSTM, {"norm": "gate"}),
    (layers.LayerNormGRU, {"norm": "all"}),
    (layers.LayerNormGRU, {"norm": "gate"}),
    (layers.PeepholeLSTM, {}),
    (layers.IndRNN, {}),
    (layers.IndRNN, {"max_seq_len": 40}),
    (layers.SRU, {"highway_bias": -1.0}),
    (layers.SLSTM, {"heads": 1}),
    (layers.SLSTM, {"heads": 2}),
]
every_kernel = pytest.mark.parametrize(("kind", "options"), KERNELS)


def build(kind: type[StackedRNN], inputs: int, **options: object) -> StackedRNN:
    torch.manual_seed(0)
    layer = kind(inputs, HIDDEN, 2, 0.0, True, trainable_initial_state=True, **options).double()
    for name, parameter in layer.named_parameters():
        noise = (
            torch.rand_like(parameter)
            if "initial_state" in name
            else torch.randn_like(parameter) / 4
        )
        parameter.data += noise
    return layer


def randn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def parts(state: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


@every_kernel
@pytest.mark.parametrize("inputs", [5, HIDDEN])
@pytest.mark.parametrize("lengths", [None, torch.tensor([3, TIME, 1, 17])], ids=["full", "padded"])
@pytest.mark.parametrize("read", ["output", "state", "all"])
def test_a_kernel_equals_single_steps(
    kind: type[StackedRNN],
    options: dict[str, object],
    inputs: int,
    lengths: Tensor | None,
    read: str,
) -> None:
    layer, x = build(kind, inputs, **options), randn(BATCH, TIME, inputs).requires_grad_()
    results = []
    for use_kernel in (True, False):
        for core in layer.layers:
            core.use_kernel = use_kernel
        output, state = layer(x, lengths)
        tensors = {"output": (output,), "state": parts(state), "all": (output, *parts(state))}[read]
        loss = sum((part * randn(*part.shape, seed=7)).sum() for part in tensors)
        inputs_ = (x, *layer.parameters())
        results.append((output, state, torch.autograd.grad(loss, inputs_, allow_unused=True)))
    (fast_output, fast_state, fast), (output, state, slow) = results
    torch.testing.assert_close((fast_output, fast_state), (output, state), rtol=1e-9, atol=1e-9)
    for quick, exact in zip(fast, slow, strict=True):
        exact = torch.zeros_like(quick) if exact is None and quick is not None else exact
        torch.testing.assert_close(quick, exact, rtol=1e-6, atol=1e-6)


@every_kernel
def test_the_gradient_of_a_kernel_can_be_computed_twice(
    kind: type[StackedRNN], options: dict[str, object]
) -> None:
    layer, x = build(kind, 5, **options), randn(BATCH, TIME, 5).requires_grad_()
    output, _ = layer(x)
    first, again = (torch.autograd.grad(output.sum(), x, retain_graph=True) for _ in range(2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)


@every_kernel
def test_a_kernel_runs_without_gradients(
    kind: type[StackedRNN], options: dict[str, object]
) -> None:
    layer, x = build(kind, 5, **options), randn(BATCH, TIME, 5)
    with torch.inference_mode():
        output, _ = layer(x)
    torch.testing.assert_close(output, layer(x)[0].detach())


@every_kernel
def test_a_kernel_in_single_precision_is_close_to_double_precision(
    kind: type[StackedRNN], options: dict[str, object]
) -> None:
    layer, x = build(kind, 5, **options), randn(BATCH, TIME, 5)
    exact = layer(x)[0].detach()
    torch.testing.assert_close(layer.float()(x.float())[0].double(), exact, rtol=1e-3, atol=1e-4)


@every_kernel
def test_autocast_keeps_state_and_sums_in_single_precision(
    kind: type[StackedRNN], options: dict[str, object]
) -> None:
    layer, x = build(kind, 5, **options).float(), randn(BATCH, TIME, 5).float()
    with torch.autocast("cpu", torch.bfloat16):
        output, state = layer(x)
    assert output.dtype == torch.float32
    assert all(part.dtype == torch.float32 for part in parts(state))


def test_a_new_layer_needs_only_a_cell_class() -> None:
    class Leaky(IndRNNCell):
        def update(self, projected: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (torch.lerp(projected, state[0], 0.5),)

        def forward_sequence(self, x: Tensor, state: tuple[Tensor, ...]) -> None:
            return None

    class LeakyLayer(layers.UnrolledRNN):
        cell = Leaky

    layer = LeakyLayer(5, HIDDEN)
    output, state = layer(torch.ones(1, 3, 5))
    u = layer.layers[0].cell.project(torch.ones(1, 5))
    torch.testing.assert_close(output, torch.stack([u / 2, u * 3 / 4, u * 7 / 8], 1))
    torch.testing.assert_close(state[0], output[:, -1])


@pytest.mark.slow
@every_kernel
def test_time_grows_linearly_with_the_number_of_steps(
    kind: type[StackedRNN], options: dict[str, object]
) -> None:
    """Kernels write into buffers; with copies a step would cost ten times as much."""
    import time

    layer = kind(8, 32, **options)

    def seconds(steps: int) -> float:
        x = torch.randn(8, steps, 8)
        best = float("inf")
        for _ in range(3):
            start = time.process_time()  # not disturbed by other processes
            layer(x)[0].sum().backward()
            best = min(best, time.process_time() - start)
        return best / steps

    assert seconds(2000) < 4 * seconds(200)
