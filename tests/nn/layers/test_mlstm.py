"""mLSTM against its equations without scaling, and its initialization."""

import pytest
import torch
from torch import Tensor

from rnn_lab.nn.layers.mlstm import MLSTM

INPUT, HIDDEN, TIME, BATCH = 5, 6, 11, 3


def randn(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def build(gate_scale: float = 1.0, **options: object) -> MLSTM:
    """Return a layer in double precision whose gates depend on the input."""
    torch.manual_seed(0)
    layer = MLSTM(INPUT, HIDDEN, **options).double()
    with torch.no_grad():
        core = layer.layers[0]
        core.weight.copy_(randn(*core.weight.shape, seed=3))
        core.weight[: 2 * core.heads] *= gate_scale
        core.norm.copy_(1 + 0.1 * randn(HIDDEN, seed=4))
    return layer


def reference(layer: MLSTM, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    core, output = layer.layers[0], []
    width = HIDDEN // core.heads
    c, n = x.new_zeros(BATCH, core.heads, width, width), x.new_zeros(BATCH, core.heads, width)
    for x_t in x.unbind(1):
        products = x_t @ core.weight.T + core.bias
        i, f, q, k, v, o = products.split([core.heads] * 2 + [HIDDEN] * 4, -1)
        i, f = i.exp(), f.exp() if core.exponential else f.sigmoid()
        q, k, v = (part.unflatten(-1, (core.heads, width)) for part in (q, k, v))
        k = k / width**0.5
        c = f[..., None, None] * c + i[..., None, None] * torch.einsum("bhk,bhv->bhkv", k, v)
        n = f[..., None] * n + i[..., None] * k
        size = (n * q).sum(-1, keepdim=True).abs().clamp(min=1)
        h = torch.einsum("bhk,bhkv->bhv", q, c) / size
        h = h / (h.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        output.append(o.sigmoid() * core.norm * h.flatten(1))
    return torch.stack(output, 1), c, n


@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize("exponential", [False, True])
def test_an_mlstm_follows_its_equations(heads: int, exponential: bool) -> None:
    layer, x = build(heads=heads, exponential=exponential), randn(BATCH, TIME, INPUT)
    output, (memory, sums, scale) = layer(x)
    expected, c, n = reference(layer, x)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(memory[0] * scale[0, ..., None, None].exp(), c)
    torch.testing.assert_close(sums[0] * scale[0, ..., None].exp(), n)


@pytest.mark.parametrize("chunk", [1, 2, 4, 11, 64])
def test_the_chunk_size_does_not_affect_the_result(chunk: int) -> None:
    x, lengths = randn(BATCH, TIME, INPUT), torch.tensor([11, 1, 6])
    torch.testing.assert_close(build(chunk=chunk)(x, lengths), build(chunk=3)(x, lengths))


@pytest.mark.parametrize("chunk", [4, 64])
def test_single_steps_equal_chunks(chunk: int) -> None:
    layer, x, state = build(chunk=chunk), randn(BATCH, TIME, INPUT), None
    output, end = layer(x)
    for t, x_t in enumerate(x.unbind(1)):
        y, state = layer.step(x_t, state)
        torch.testing.assert_close(y, output[:, t], atol=1e-9, rtol=1e-5)
    torch.testing.assert_close(state, end)


def test_large_input_gates_stay_finite_in_single_precision() -> None:
    layer = build(gate_scale=300.0, chunk=4).float()
    x = randn(BATCH, TIME, INPUT, dtype=torch.float32).requires_grad_()
    output, state = layer(x)
    (output.sum() + sum(part.sum() for part in state)).backward()
    assert output.isfinite().all()
    assert x.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


def test_heads_divide_the_hidden_size() -> None:
    assert [MLSTM(INPUT, size).layers[0].heads for size in (8, 6, 10, 7)] == [4, 3, 2, 1]
    with pytest.raises(ValueError, match="heads must divide hidden_size=6, got 4"):
        MLSTM(INPUT, HIDDEN, heads=4)
    with pytest.raises(ValueError, match="chunk must be at least 1, got 0"):
        MLSTM(INPUT, HIDDEN, chunk=0)


def test_gates_are_initialized_to_ignore_the_input_and_to_remember() -> None:
    core = MLSTM(INPUT, 8, heads=4).layers[0]
    assert not core.weight[:8].any()
    assert core.weight[8:].std().item() == pytest.approx((2 / (5 * INPUT)) ** 0.5, rel=0.2)
    assert core.bias[4:8].tolist() == [3, 4, 5, 6]
    assert not core.bias[8:].any()


def test_zoneout_keeps_some_heads_in_training_and_averages_in_evaluation() -> None:
    torch.manual_seed(0)
    layer, plain = MLSTM(INPUT, 400, heads=200, zoneout=0.3), MLSTM(INPUT, 400, heads=200)
    plain.load_state_dict(layer.state_dict())
    x, before = randn(8, 1, INPUT, dtype=torch.float32), [torch.ones(1, 8, 200, 2, 2)]
    before = (*before, torch.ones(1, 8, 200, 2), torch.zeros(1, 8, 200))

    def memory(net: MLSTM) -> Tensor:
        c, _, m = net(x, state=before)[1]
        return c * m[..., None, None].exp()

    first, second = ((memory(layer) == 1).all(-1).all(-1) for _ in range(2))
    assert first.float().mean() == pytest.approx(0.3, abs=0.03)
    assert first.ne(second).any()  # a new mask for each call
    torch.testing.assert_close(memory(layer.eval()), 0.7 * memory(plain) + 0.3)


@pytest.mark.slow
def test_single_precision_is_accurate_over_long_sequences() -> None:
    torch.manual_seed(0)
    layer, x = build().float(), randn(2, 4096, INPUT, dtype=torch.float32)
    output = layer(x)[0]
    exact = layer.double()(x.double())[0]
    assert (output - exact).abs().max() / exact.abs().max() < 1e-4
