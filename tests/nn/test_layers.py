"""Laws of every recurrent layer in `LAYERS`."""

import copy

import pytest
import torch
from random_layers import (
    HIDDEN,
    INPUT,
    LENGTHS,
    TIME,
    build,
    every_layer,
    every_shape,
    every_shape_with_zoneout,
    reachable_state,
    sequences,
    weighted_sum,
)
from torch import Tensor
from transfers import Transfers

from rnn_lab.nn import build_layer
from rnn_lab.nn.functional.state import as_tuple
from rnn_lab.nn.layers.fused import FusedRNN
from rnn_lab.nn.layers.stack import StackedRNN


@every_layer
@every_shape
def test_padding_is_never_read(name: str, num_layers: int, bidirectional: bool) -> None:
    layer, padding = build(name, num_layers, bidirectional), torch.arange(TIME) >= LENGTHS[:, None]
    clean = sequences().masked_fill(padding[..., None], 0)
    dirty = clean.masked_fill(padding[..., None], float("nan")).requires_grad_()
    expected, expected_state = layer(clean, LENGTHS)
    output, state = layer(dirty, LENGTHS)
    weighted_sum(output, state).backward()
    torch.testing.assert_close((output, as_tuple(state)), (expected, as_tuple(expected_state)))
    assert not output[padding].any()
    assert not dirty.grad[padding].any()
    assert all(dirty.grad[~padding].any(dim=-1))
    assert all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters())


@every_layer
@every_shape
def test_a_sequence_gives_the_same_result_alone_and_in_a_batch(
    name: str, num_layers: int, bidirectional: bool
) -> None:
    layer, x = build(name, num_layers, bidirectional), sequences()
    output, state = layer(x, LENGTHS)
    for index, length in enumerate(LENGTHS.tolist()):
        alone, alone_state = layer(x[index : index + 1, :length])
        torch.testing.assert_close(output[index, :length], alone[0])
        for part, alone_part in zip(as_tuple(state), as_tuple(alone_state), strict=True):
            torch.testing.assert_close(part[:, index], alone_part[:, 0])


@every_layer
@pytest.mark.parametrize("num_layers", [1, 2])
def test_a_split_sequence_continues_from_the_returned_state(name: str, num_layers: int) -> None:
    layer, x, cut = build(name, num_layers), sequences(), 3
    lengths = torch.tensor([5, 7, 4, 6])
    output, state = layer(x, lengths)
    first, carried = layer(x[:, :cut])
    second, end = layer(x[:, cut:], lengths - cut, carried)
    torch.testing.assert_close((torch.cat([first, second], 1), end), (output, state))


@every_layer
@pytest.mark.parametrize("num_layers", [1, 2])
def test_single_steps_give_the_same_result_as_the_whole_sequence(
    name: str, num_layers: int
) -> None:
    layer, x = build(name, num_layers), sequences(time=70)
    output, state = layer(x)
    steps, stepped = [], None
    for step in x.unbind(1):
        y, stepped = layer.step(step, stepped)
        steps.append(y)
    torch.testing.assert_close((torch.stack(steps, 1), stepped), (output, state))


@every_layer
def test_padding_and_single_steps_agree_to_the_last_digits_in_double_precision(
    name: str,
) -> None:
    layer, x = build(name, 2).double(), sequences(time=70, dtype=torch.float64)
    lengths = torch.tensor([70, 31, 1, 69])
    padded, _ = layer(x, lengths)
    for index, length in enumerate(lengths.tolist()):
        alone, state = [], None
        for step in x[index : index + 1, :length].unbind(1):
            y, state = layer.step(step, state)
            alone.append(y)
        together = padded[index : index + 1, :length]
        torch.testing.assert_close(torch.stack(alone, 1), together, rtol=1e-9, atol=1e-10)


@every_layer
def test_the_backward_direction_starts_at_the_end_of_each_sequence(name: str) -> None:
    both, one = build(name, 1, True), build(name)
    if isinstance(both, StackedRNN):
        backward_weights = {
            key.replace("layers.1.", "layers.0.").removesuffix("_reverse"): value
            for key, value in both.state_dict().items()
            if key.startswith("layers.1.") or key.endswith("_reverse")
        }
    else:  # its norm is over both directions, which cannot be separated
        both, one = both.lstm, one.lstm
        items = both.state_dict().items()
        backward_weights = {
            k.removesuffix("_reverse"): v for k, v in items if k.endswith("_reverse")
        }
    one.load_state_dict(backward_weights)
    x = sequences()
    for index, length in enumerate(LENGTHS.tolist()):
        backward = both(x, LENGTHS)[0][index, :length, HIDDEN:]
        alone, state = one(x[index : index + 1, :length].flip(1))
        torch.testing.assert_close(backward, alone[0].flip(0))
        for part, alone_part in zip(as_tuple(both(x, LENGTHS)[1]), as_tuple(state), strict=True):
            torch.testing.assert_close(part[1, index], alone_part[0, 0])


@every_layer
@every_shape
@pytest.mark.parametrize("lengths", [LENGTHS, None], ids=["padded", "full"])
def test_every_parameter_gets_a_gradient(
    name: str, num_layers: int, bidirectional: bool, lengths: Tensor | None
) -> None:
    layer = build(name, num_layers, bidirectional, trainable_initial_state=True)
    output, _ = layer(sequences(), lengths)
    assert output.shape == (4, TIME, layer.output_size)
    (output * torch.linspace(-1, 2, output.numel()).view_as(output)).sum().backward()
    unused = [key for key, p in layer.named_parameters() if p.grad is None or not p.grad.any()]
    assert unused == [key for key in unused if key.startswith("initial_state")]
    assert len(unused) < len(
        as_tuple(layer(sequences())[1])
    )  # not every state tensor affects the output


@every_layer
@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_equal_finite_differences(name: str, bidirectional: bool) -> None:
    layer = build(name, 1, bidirectional).double()
    lengths, x = torch.tensor([4, 2]), sequences(2, 4, torch.float64).requires_grad_()
    state = tuple(p.requires_grad_() for p in as_tuple(reachable_state(layer, 2)))
    weights = dict(layer.named_parameters())

    def function(x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        initial, values = tensors[: len(state)], tensors[len(state) :]
        parameters = dict(zip(weights, values, strict=True))
        initial = initial if len(initial) > 1 else initial[0]
        if isinstance(layer, StackedRNN) and not isinstance(layer, FusedRNN):
            output, after = torch.func.functional_call(layer, parameters, (x, lengths, initial))
        else:  # torch's layers keep references to their weights in a list
            output, after = layer(x, lengths, initial)
        return output, *as_tuple(after)

    inputs = (x, *state, *weights.values())
    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)


@every_layer
@every_shape
def test_lengths_without_padding_change_nothing(
    name: str, num_layers: int, bidirectional: bool
) -> None:
    layer, x = build(name, num_layers, bidirectional), sequences()
    torch.testing.assert_close(layer(x, torch.full((4,), TIME)), layer(x), rtol=0, atol=0)


@every_layer
@every_shape
def test_bfloat16_autocast_runs(name: str, num_layers: int, bidirectional: bool) -> None:
    layer, x = build(name, num_layers, bidirectional), sequences()
    exact, _ = layer(x, LENGTHS)
    with torch.autocast("cpu", torch.bfloat16):
        _, state = layer(x, LENGTHS)
        output, _ = layer(x, LENGTHS, state)
        from_bfloat16, _ = layer(x.bfloat16(), LENGTHS)
    torch.testing.assert_close(from_bfloat16.float(), exact, rtol=0.08, atol=0.08)
    output.float().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters())


@every_layer
@every_shape_with_zoneout
def test_the_meta_device_gives_the_shapes(
    name: str, num_layers: int, bidirectional: bool, zoneout: float
) -> None:
    layer = build(name, num_layers, bidirectional, zoneout=zoneout)
    x, some = sequences(time=3), torch.tensor([2, 3, 1, 3])
    with torch.device("meta"):
        options = {"zoneout": zoneout}
        empty = build_layer(name, INPUT, HIDDEN, num_layers, 0.0, bidirectional, options=options)
    assert all(tensor.is_meta for tensor in empty.state_dict().values())
    for lengths in (None, some):
        output, state = empty(x.to("meta").requires_grad_(), lengths)
        weighted_sum(output, state).sum().backward()
        expected, expected_state = layer(x, lengths)
        shapes = [(part.shape, part.dtype) for part in (output, *as_tuple(state))]
        exact = [(part.shape, part.dtype) for part in (expected, *as_tuple(expected_state))]
        assert shapes == exact
    if not bidirectional:
        assert empty.step(x[:, 0].to("meta"))[0].shape == (len(x), HIDDEN)


@every_layer
@pytest.mark.parametrize("options", [{}, {"zoneout": 0.1, "weight_drop": 0.1}], ids=str)
def test_no_layer_waits_for_the_device(name: str, options: dict[str, float]) -> None:
    with torch.device("meta"):
        layer = build_layer(name, INPUT, HIDDEN, options=options)
        x = torch.empty(2, 3, INPUT)
    with Transfers() as transfers:
        output, state = layer(x, torch.tensor([3, 1]))
        weighted_sum(output, layer.step(x[:, 0], state)[1]).sum().backward()
    assert transfers.blocking == []


@every_layer
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("zoneout", [0.0, 0.1])
def test_single_steps_run_under_bfloat16_autocast(
    name: str, zoneout: float, training: bool
) -> None:
    layer, x = build(name, 2, zoneout=zoneout).train(training), sequences(time=1)
    with torch.autocast("cpu", torch.bfloat16):
        output, state = layer(x)
        output, state = layer.step(x[:, 0], state)
        output, state = layer.step(x[:, 0].bfloat16(), state)
    assert len({part.dtype for part in as_tuple(state)}) == 1
    if not (zoneout and training):
        _, exact = layer(x)
        for _ in range(2):
            expected, exact = layer.step(x[:, 0], exact)
        torch.testing.assert_close(output.float(), expected, rtol=0.08, atol=0.08)
    weighted_sum(output.float(), state).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters())


@every_layer
@every_shape_with_zoneout
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_weights_of_16_bits_run(
    name: str, num_layers: int, bidirectional: bool, zoneout: float, dtype: torch.dtype
) -> None:
    options = {"zoneout": zoneout, "trainable_initial_state": True}
    layer, x = build(name, num_layers, bidirectional, **options).eval(), sequences()
    exact, _ = layer(x, LENGTHS)
    layer.to(dtype)
    for inputs in (x.to(dtype), x):
        output, state = layer(inputs, LENGTHS)
        assert output.dtype == dtype
        torch.testing.assert_close(output.float(), exact, rtol=0.15, atol=0.15)
    output, state = layer(x, None, state)
    if not bidirectional:
        output, state = layer.step(x[:, 0], state)
        assert output.dtype == dtype
    layer.train()(x, LENGTHS, state)[0].float().sum().backward()
    assert {p.grad.dtype for p in layer.parameters() if p.grad is not None} == {dtype}


WRONG_STATES = {
    "batch": lambda part: part[:, :1],
    "depth": lambda part: torch.cat([part, part]),
    "width": lambda part: part[..., :1],
    "axes": lambda part: part[0],
    "list": lambda part: [part],
}


@every_layer
@pytest.mark.parametrize("wrong", [*WRONG_STATES, "kind", "one of several"])
def test_a_wrong_state_is_refused(name: str, wrong: str) -> None:
    layer, x = build(name, 2), sequences()
    state = as_tuple(layer(x)[1])
    if wrong == "kind":
        bad = state[0] if len(state) > 1 else (state[0], state[0])
    elif wrong == "one of several":
        bad = (*state[:-1], state[-1][:, :1])
    else:
        parts = [WRONG_STATES[wrong](part) for part in state]
        bad = tuple(parts) if len(parts) > 1 else parts[0]
    for call in (
        lambda: layer.step(x[:, 0], bad),
        lambda: layer(x[:, :1], None, bad),
        lambda: layer(x, None, bad),
        lambda: layer(x, LENGTHS, bad),
    ):
        with pytest.raises(ValueError, match="the state must "):
            call()


@every_layer
@pytest.mark.parametrize("how", ["one step", "full", "padded", "step"])
def test_second_derivatives_are_right_or_refused(name: str, how: str) -> None:
    layer, lengths = build(name).double(), torch.tensor([3, 1]) if how == "padded" else None
    x = sequences(2, 1 if how in ("one step", "step") else 3, torch.float64).requires_grad_()
    state = tuple(part.requires_grad_() for part in as_tuple(reachable_state(layer, 2)))

    def function(x: Tensor, *initial: Tensor) -> tuple[Tensor, ...]:
        state = initial if len(initial) > 1 else initial[0]
        output, after = layer.step(x[:, 0], state) if how == "step" else layer(x, lengths, state)
        return output, *as_tuple(after)

    output, weight = function(x, *state)[0], next(layer.parameters())
    assert output.requires_grad
    try:
        (grad,) = torch.autograd.grad(output.square().sum(), weight, create_graph=True)
    except RuntimeError as error:
        assert "has no second derivative" in str(error)  # noqa: PT017  # or right, as below
        return
    grad.square().sum().backward()  # a gradient penalty
    assert torch.autograd.gradgradcheck(function, (x, *state), fast_mode=True)


@every_layer
def test_a_checkpoint_restores_the_layer(name: str, tmp_path: object) -> None:
    layer, x = build(name, 2, True, trainable_initial_state=True), sequences()
    torch.save(layer.state_dict(), tmp_path / "layer.pt")
    torch.manual_seed(5)
    restored = build_layer(
        name, INPUT, HIDDEN, 2, 0.0, True, options={"trainable_initial_state": True}
    )
    restored.load_state_dict(torch.load(tmp_path / "layer.pt", weights_only=True))
    torch.testing.assert_close(restored(x, LENGTHS), layer(x, LENGTHS), rtol=0, atol=0)
    torch.testing.assert_close(copy.deepcopy(layer)(x, LENGTHS), layer(x, LENGTHS), rtol=0, atol=0)
