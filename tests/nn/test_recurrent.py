"""Laws of every layer that reads padded rows by their lengths."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnn_lab.nn import LAYERS
from rnn_lab.nn.recurrent import RecurrentLayer

INPUT, HIDDEN, TIME = 5, 6, 7
LENGTHS = torch.tensor([3, 7, 1, 4])

every_layer = pytest.mark.parametrize("name", LAYERS)
every_shape = pytest.mark.parametrize(
    ("num_layers", "bidirectional"), [(1, False), (2, False), (1, True), (2, True)]
)


def build(name: str, num_layers: int = 1, bidirectional: bool = False) -> RecurrentLayer:
    torch.manual_seed(0)
    return LAYERS[name](INPUT, HIDDEN, num_layers, 0.0, bidirectional)


def rows(batch: int = 4, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, TIME, INPUT, dtype=dtype, generator=generator)


def parts(state: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


def random_state(layer: RecurrentLayer, batch: int, dtype: torch.dtype) -> object:
    generator = torch.Generator().manual_seed(2)
    shape = (layer.num_layers * (2 if layer.bidirectional else 1), batch, HIDDEN)
    h, c = torch.randn(2, *shape, dtype=dtype, generator=generator).unbind()
    return (h, c) if isinstance(layer, nn.LSTM) else h


def weighted_sum(output: Tensor, state: object) -> Tensor:
    """A scalar whose gradient differs at every step and unit."""
    return sum(
        (part.flatten() * torch.linspace(-1, 2, part.numel(), dtype=part.dtype)).sum()
        for part in (output, *parts(state))
    )


@every_layer
@every_shape
def test_padding_is_never_read(name: str, num_layers: int, bidirectional: bool) -> None:
    layer, padding = build(name, num_layers, bidirectional), torch.arange(TIME) >= LENGTHS[:, None]
    clean = rows().masked_fill(padding[..., None], 0)
    dirty = clean.masked_fill(padding[..., None], float("nan")).requires_grad_()
    expected, expected_state = layer(clean, LENGTHS)
    output, state = layer(dirty, LENGTHS)
    weighted_sum(output, state).backward()
    torch.testing.assert_close((output, parts(state)), (expected, parts(expected_state)))
    assert not output[padding].any()
    assert not dirty.grad[padding].any()
    assert all(dirty.grad[~padding].any(dim=-1))
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


@every_layer
@every_shape
def test_a_row_reads_the_same_alone_and_in_a_batch(
    name: str, num_layers: int, bidirectional: bool
) -> None:
    layer, x = build(name, num_layers, bidirectional), rows()
    output, state = layer(x, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone, alone_state = layer(x[row : row + 1, :length])
        torch.testing.assert_close(output[row, :length], alone[0])
        for part, alone_part in zip(parts(state), parts(alone_state), strict=True):
            torch.testing.assert_close(part[:, row], alone_part[:, 0])


@every_layer
@every_shape
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_a_packed_torch_layer_with_the_same_weights(
    name: str, num_layers: int, bidirectional: bool, dtype: torch.dtype
) -> None:
    layer = build(name, num_layers, bidirectional).to(dtype)
    theirs = getattr(nn, name)(
        INPUT, HIDDEN, num_layers, batch_first=True, bidirectional=bidirectional, dtype=dtype
    )
    theirs.load_state_dict(layer.state_dict())
    before = random_state(layer, 4, dtype)
    x, their_x = rows(dtype=dtype).requires_grad_(), rows(dtype=dtype).requires_grad_()
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
def test_the_state_gets_its_gradient_through_padding(name: str) -> None:
    layer = build(name)
    before = tuple(part.requires_grad_() for part in parts(random_state(layer, 4, torch.float32)))
    _, after = layer(rows(), LENGTHS, before if len(before) == 2 else before[0])
    parts(after)[-1].sum().backward()
    assert all(part.grad.flatten(0, 1).any(dim=-1).all() for part in before)


@every_layer
@pytest.mark.parametrize("num_layers", [1, 2])
def test_state_carries_over_a_cut(name: str, num_layers: int) -> None:
    layer, x, cut = build(name, num_layers), rows(), 3
    lengths = torch.tensor([5, 7, 4, 6])
    output, state = layer(x, lengths)
    first, carried = layer(x[:, :cut])
    second, end = layer(x[:, cut:], lengths - cut, carried)
    torch.testing.assert_close((torch.cat([first, second], 1), end), (output, state))


@every_layer
@pytest.mark.parametrize("num_layers", [1, 2])
def test_stepping_equals_forward(name: str, num_layers: int) -> None:
    layer, x = build(name, num_layers), rows()
    output, state = layer(x)
    steps, stepped = [], None
    for step in x.unbind(1):
        y, stepped = layer.step(step, stepped)
        steps.append(y)
    torch.testing.assert_close((torch.stack(steps, 1), stepped), (output, state))


@every_layer
@every_shape
@pytest.mark.parametrize("lengths", [LENGTHS, None], ids=["padded", "full"])
def test_every_parameter_gets_a_gradient(
    name: str, num_layers: int, bidirectional: bool, lengths: Tensor | None
) -> None:
    layer = build(name, num_layers, bidirectional)
    output, _ = layer(rows(), lengths)
    assert output.shape == (4, TIME, layer.output_size)
    output.square().sum().backward()
    for key, parameter in layer.named_parameters():
        assert parameter.grad is not None, key
        assert (
            parameter.grad.flatten(1).any(-1).all() if parameter.dim() > 1 else parameter.grad.any()
        ), key


@every_layer
@every_shape
def test_lengths_that_fill_all_rows_change_nothing(
    name: str, num_layers: int, bidirectional: bool
) -> None:
    layer, x = build(name, num_layers, bidirectional), rows()
    torch.testing.assert_close(layer(x, torch.full((4,), TIME)), layer(x), rtol=0, atol=0)


@every_layer
@every_shape
def test_bfloat16_autocast_runs(name: str, num_layers: int, bidirectional: bool) -> None:
    layer, x = build(name, num_layers, bidirectional), rows()
    exact, _ = layer(x, LENGTHS)
    with torch.autocast("cpu", torch.bfloat16):
        _, state = layer(x, LENGTHS)
        output, _ = layer(x, LENGTHS, state)
        fresh, _ = layer(x.bfloat16(), LENGTHS)
    torch.testing.assert_close(fresh.float(), exact, rtol=0.05, atol=0.05)
    output.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


@every_layer
def test_dropout_falls_between_layers_and_in_training_only(name: str) -> None:
    torch.manual_seed(0)
    layer, x = LAYERS[name](INPUT, HIDDEN, num_layers=2, dropout=0.5), rows()
    first, second = layer(x, LENGTHS)[0], layer(x, LENGTHS)[0]
    assert not torch.equal(first, second)
    bottom = [parts(layer(x, LENGTHS)[1])[0][0] for _ in range(2)]
    assert torch.equal(*bottom)
    layer.eval()
    assert torch.equal(layer(x, LENGTHS)[0], layer(x, LENGTHS)[0])


@every_layer
def test_a_pickled_layer_reads_the_same(name: str, tmp_path: object) -> None:
    layer, x = build(name, 2, True), rows()
    torch.save(layer, tmp_path / "layer.pt")
    loaded = torch.load(tmp_path / "layer.pt", weights_only=False)
    torch.testing.assert_close(loaded(x, LENGTHS), layer(x, LENGTHS), rtol=0, atol=0)


@every_layer
def test_a_state_in_the_place_of_lengths_is_refused(name: str) -> None:
    layer = build(name)
    with pytest.raises(TypeError, match="the state comes third"):
        layer(rows(), random_state(layer, 4, torch.float32))


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([3, 0, 1, 4], "from 1 to 7, got 0"),
        ([3, 8, 1, 4], "from 1 to 7, got 8"),
        ([3, 7, 1], r"shape \(4,\), got \(3,\)"),
    ],
)
def test_wrong_lengths_are_refused_with_their_value(lengths: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("LSTM")(rows(), torch.tensor(lengths))


@every_layer
def test_a_state_of_the_wrong_shape_is_refused(name: str) -> None:
    layer = build(name)
    with pytest.raises(RuntimeError, match="hidden"):
        layer(rows(), LENGTHS, random_state(layer, 3, torch.float32))


def test_a_bidirectional_layer_refuses_to_step() -> None:
    with pytest.raises(ValueError, match="bidirectional"):
        build("LSTM", bidirectional=True).step(rows()[:, 0])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@every_layer
@every_shape
def test_cuda_agrees_with_the_cpu(name: str, num_layers: int, bidirectional: bool) -> None:
    layer, x = build(name, num_layers, bidirectional), rows()
    output, state = layer(x, LENGTHS)
    on_gpu, gpu_state = layer.cuda()(x.cuda(), LENGTHS)
    torch.testing.assert_close(on_gpu.cpu(), output, rtol=1e-3, atol=1e-3)
    for part, gpu_part in zip(parts(state), parts(gpu_state), strict=True):
        torch.testing.assert_close(gpu_part.cpu(), part, rtol=1e-3, atol=1e-3)
