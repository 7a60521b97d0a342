"""Laws of the layers with torch's kernels; those of all layers are in test_layers.py."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnn_lab.nn import LAYERS
from rnn_lab.nn.layers.fused import FusedRNN

INPUT, HIDDEN, TIME = 5, 6, 7
LENGTHS = torch.tensor([3, 7, 1, 4])

every_layer = pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
every_shape = pytest.mark.parametrize(
    ("num_layers", "bidirectional"), [(1, False), (2, False), (1, True), (2, True)]
)


def build(name: str, num_layers: int = 1, bidirectional: bool = False) -> FusedRNN:
    torch.manual_seed(0)
    return LAYERS[name](INPUT, HIDDEN, num_layers, 0.0, bidirectional)


def sequences(batch: int = 4, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, TIME, INPUT, dtype=dtype, generator=generator)


def parts(state: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


def random_state(layer: FusedRNN, batch: int, dtype: torch.dtype) -> object:
    generator = torch.Generator().manual_seed(2)
    shape = (layer.num_layers * (2 if layer.bidirectional else 1), batch, HIDDEN)
    h, c = torch.randn(2, *shape, dtype=dtype, generator=generator).unbind()
    return (h, c) if isinstance(layer, nn.LSTM) else h


def weighted_sum(output: Tensor, state: object) -> Tensor:
    """Return a scalar whose gradient differs at every step and unit."""
    return sum(
        (part.flatten() * torch.linspace(-1, 2, part.numel(), dtype=part.dtype)).sum()
        for part in (output, *parts(state))
    )


@every_layer
@every_shape
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_torchs_layer_on_a_packed_sequence(
    name: str, num_layers: int, bidirectional: bool, dtype: torch.dtype
) -> None:
    layer = build(name, num_layers, bidirectional).to(dtype)
    theirs = getattr(nn, name)(
        INPUT, HIDDEN, num_layers, batch_first=True, bidirectional=bidirectional, dtype=dtype
    )
    theirs.load_state_dict(layer.state_dict())
    before = random_state(layer, 4, dtype)
    x, their_x = sequences(dtype=dtype).requires_grad_(), sequences(dtype=dtype).requires_grad_()
    output, state = layer(x, LENGTHS, before)
    packed = pack_padded_sequence(their_x, LENGTHS, batch_first=True, enforce_sorted=False)
    their_output, their_state = theirs(packed, before)
    their_output, _ = pad_packed_sequence(their_output, batch_first=True)
    torch.testing.assert_close((output, state), (their_output, their_state))
    weighted_sum(output, state).backward()
    weighted_sum(their_output, their_state).backward()
    torch.testing.assert_close(x.grad, their_x.grad)
    for parameter, their_parameter in zip(layer.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, their_parameter.grad, rtol=1e-5, atol=1e-5)


@every_layer
def test_the_initial_state_gets_a_gradient_with_padding(name: str) -> None:
    layer = build(name)
    before = tuple(part.requires_grad_() for part in parts(random_state(layer, 4, torch.float32)))
    _, after = layer(sequences(), LENGTHS, before if len(before) == 2 else before[0])
    parts(after)[-1].sum().backward()
    assert all(part.grad.flatten(0, 1).any(dim=-1).all() for part in before)


@every_layer
def test_a_pickled_layer_gives_the_same_result(name: str, tmp_path: object) -> None:
    layer, x = build(name, 2, True), sequences()
    torch.save(layer, tmp_path / "layer.pt")
    loaded = torch.load(tmp_path / "layer.pt", weights_only=False)
    torch.testing.assert_close(loaded(x, LENGTHS), layer(x, LENGTHS), rtol=0, atol=0)


@every_layer
def test_variational_dropout_drops_features_at_all_steps(name: str) -> None:
    """A dropped feature contributes no gradient to the input weights of the second layer."""
    torch.manual_seed(0)
    layer, x = LAYERS[name](INPUT, HIDDEN, 2, 0.5, variational_dropout=True), sequences()
    layer.weights(1)[1].data.zero_()
    output, _ = layer(x, LENGTHS)
    (grad,) = torch.autograd.grad(output[1].sum(), [layer.weights(1)[0]])
    torch.manual_seed(1)
    standard = LAYERS[name](INPUT, HIDDEN, 2, 0.5)
    standard.load_state_dict(layer.state_dict())
    output, _ = standard(x, LENGTHS)
    (standard_grad,) = torch.autograd.grad(output[1].sum(), [standard.weights(1)[0]])
    assert 0 < (grad == 0).all(0).sum() < HIDDEN  # features dropped at all steps
    assert not (standard_grad == 0).all(0).any()


@pytest.mark.parametrize("bidirectional", [False, True])
@every_layer
def test_calls_by_layer_and_by_step_equal_the_fused_call(name: str, bidirectional: bool) -> None:
    """Without dropout and zoneout all ways of computing a layer agree."""
    layer, x = build(name, 2, bidirectional), sequences()
    expected = layer(x)
    by_layer = layer._forward_by_layer(x, None, None)
    layer._run_kernel = layer._unroll
    by_step = layer._forward_by_layer(x, None, None)
    torch.testing.assert_close(by_layer, expected)
    torch.testing.assert_close(by_step, expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@every_layer
@every_shape
def test_cuda_agrees_with_the_cpu(name: str, num_layers: int, bidirectional: bool) -> None:
    layer, x = build(name, num_layers, bidirectional), sequences()
    output, state = layer(x, LENGTHS)
    on_gpu, gpu_state = layer.cuda()(x.cuda(), LENGTHS)
    torch.testing.assert_close(on_gpu.cpu(), output, rtol=1e-3, atol=1e-3)
    for part, gpu_part in zip(parts(state), parts(gpu_state), strict=True):
        torch.testing.assert_close(gpu_part.cpu(), part, rtol=1e-3, atol=1e-3)
