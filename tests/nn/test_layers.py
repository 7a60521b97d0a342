"""Laws of every recurrent layer in `LAYERS`."""

import copy
import re

import pytest
import torch
from torch import Tensor

from rnn_lab.nn import LAYERS, Layer, build_layer
from rnn_lab.nn.dropout import variational_dropout
from rnn_lab.nn.functional.state import as_tuple, map_state
from rnn_lab.nn.layers import stack
from rnn_lab.nn.layers.fused import FusedRNN
from rnn_lab.nn.layers.registry import layer_kwargs
from rnn_lab.nn.layers.stack import StackedRNN

INPUT, HIDDEN, TIME = 5, 8, 7
LENGTHS = torch.tensor([3, 7, 1, 4])

every_layer = pytest.mark.parametrize("name", LAYERS)
every_shape = pytest.mark.parametrize(
    ("num_layers", "bidirectional"), [(1, False), (2, False), (1, True), (2, True)]
)
every_option = pytest.mark.parametrize(
    "options", [{"zoneout": 0.3}, {"weight_drop": 0.4}, {"variational_dropout": True}], ids=str
)


def build(name: str, num_layers: int = 1, bidirectional: bool = False, **options: object) -> Layer:
    torch.manual_seed(2)
    dropout = 0.5 if options.get("variational_dropout") else 0.0
    layer = build_layer(name, INPUT, HIDDEN, num_layers, dropout, bidirectional, options=options)
    for key, parameter in layer.named_parameters():
        if "bias" in key or not parameter.any():  # zeros could hide an unused parameter
            parameter.data.add_(torch.randn_like(parameter) / 4)
    return layer


def sequences(batch: int = 4, time: int = TIME, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, time, INPUT, dtype=dtype, generator=generator)


def reachable_state(layer: Layer, batch: int = 4) -> object:
    """Return the state after a few random inputs."""
    with torch.no_grad():
        x = 2 * sequences(batch, 5, next(layer.parameters()).dtype)
        return layer(x)[1]


def weighted_sum(output: Tensor, state: object) -> Tensor:
    """Return a scalar whose gradient differs at every step and unit."""
    return sum(
        (part.flatten() * torch.linspace(-1, 2, part.numel(), dtype=part.dtype)).sum()
        for part in (output, *as_tuple(state))
    )


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


# Regularization.


@every_layer
@every_option
@pytest.mark.parametrize("bidirectional", [False, True])
def test_regularization_is_random_in_training_only(
    name: str, options: dict[str, object], bidirectional: bool
) -> None:
    layer, x = build(name, 2, bidirectional, **options), sequences()
    assert not torch.equal(layer(x, LENGTHS)[0], layer(x, LENGTHS)[0])
    layer.eval()
    torch.testing.assert_close(layer(x, LENGTHS), layer(x, LENGTHS), rtol=0, atol=0)
    if "zoneout" not in options:
        plain = build(name, 2, bidirectional).eval()
        torch.testing.assert_close(layer(x, LENGTHS), plain(x, LENGTHS), rtol=0, atol=0)


@every_layer
@every_option
def test_regularized_layers_never_read_padding(name: str, options: dict[str, object]) -> None:
    layer, padding = build(name, 2, True, **options), torch.arange(TIME) >= LENGTHS[:, None]
    dirty = sequences().masked_fill(padding[..., None], float("nan")).requires_grad_()
    output, state = layer(dirty, LENGTHS)
    weighted_sum(output, state).backward()
    assert not output[padding].any()
    assert not dirty.grad[padding].any()
    assert all(p.grad.isfinite().all() for p in layer.parameters() if p.grad is not None)


@every_layer
def test_single_steps_with_zoneout_give_the_same_result_as_the_whole_sequence(name: str) -> None:
    layer, x = build(name, 2, zoneout=0.3).eval(), sequences()
    output, state = layer(x)
    steps, stepped = [], None
    for step in x.unbind(1):
        y, stepped = layer.step(step, stepped)
        steps.append(y)
    torch.testing.assert_close((torch.stack(steps, 1), stepped), (output, state))
    assert not torch.allclose(output, build(name, 2).eval()(x)[0])


@every_layer
def test_zoneout_keeps_the_previous_state_of_units(name: str) -> None:
    layer, x = build(name, zoneout=0.9), sequences(64, 1)
    before = reachable_state(build(name), 64)
    _, after = layer(x, None, before)
    moved = [
        (new != old).float().mean()
        for new, old in zip(as_tuple(after), as_tuple(before), strict=True)
    ]
    assert any(0 < fraction < 0.3 for fraction in moved)


@every_layer
@pytest.mark.parametrize("bidirectional", [False, True])
def test_weight_drop_uses_one_mask_for_all_sequences_and_steps(
    name: str, bidirectional: bool
) -> None:
    layer = build(name, 1, bidirectional, weight_drop=0.5)
    same = sequences(1).expand(4, -1, -1).contiguous()
    output, _ = layer(same)
    torch.testing.assert_close(output, output[:1].expand_as(output))
    weights = {key: parameter.clone() for key, parameter in layer.named_parameters()}
    output.square().sum().backward()
    assert all(torch.equal(parameter, weights[key]) for key, parameter in layer.named_parameters())
    dropped = [p for p in layer.parameters() if p.dim() > 1 and (p.grad == 0).float().mean() > 0.2]
    assert len(dropped) >= (2 if bidirectional else 1)


@every_layer
def test_variational_dropout_uses_one_mask_for_all_steps(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Tensor, Tensor]] = []

    def record(x: Tensor, *args: object, **kwargs: object) -> Tensor:
        output = variational_dropout(x, *args, **kwargs)
        calls.append((x, output))
        return output

    monkeypatch.setattr(stack, "variational_dropout", record)
    build(name, 2, variational_dropout=True)(sequences(time=9))
    [(x, output)] = calls
    dropped, passed = ((output == 0) & (x != 0)).any(0), (output != 0).any(0)
    assert dropped.any()
    assert passed.any()
    assert not (dropped & passed).any()


@every_layer
def test_dropout_is_applied_between_layers_only(name: str) -> None:
    torch.manual_seed(0)
    layer, x = LAYERS[name](INPUT, HIDDEN, 2, 0.5), sequences()
    assert not torch.equal(layer(x, LENGTHS)[0], layer(x, LENGTHS)[0])
    bottom = [as_tuple(layer(x, LENGTHS)[1])[0][0] for _ in range(2)]
    assert torch.equal(*bottom)


@every_layer
def test_the_initial_state_is_trainable(name: str) -> None:
    layer = build(name, 2, trainable_initial_state=True)
    zeros = map_state(layer(sequences())[1], torch.zeros_like)
    initial = getattr(layer, "lstm", layer).initial_state
    batch = tuple(part.expand(-1, 4, *part.shape[2:]) for part in initial)
    torch.testing.assert_close(
        layer(sequences()), layer(sequences(), None, batch if len(batch) > 1 else batch[0])
    )
    assert not torch.allclose(layer(sequences())[0], layer(sequences(), None, zeros)[0])
    y, _ = layer.step(sequences()[:, 0])
    torch.testing.assert_close(y, layer(sequences())[0][:, 0])


# Errors and class attributes.


@every_layer
def test_a_state_passed_as_lengths_is_an_error(name: str) -> None:
    layer = build(name)
    with pytest.raises(TypeError, match="the state is the third argument"):
        layer(sequences(), reachable_state(layer))


@every_layer
def test_a_state_of_the_wrong_shape_is_an_error(name: str) -> None:
    layer = build(name)
    with pytest.raises(ValueError, match="the state must have the shapes"):
        layer(sequences(), LENGTHS, reachable_state(layer, 3))


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([3, 0, 1, 4], "from 1 to 7, got 0"),
        ([3, 8, 1, 4], "from 1 to 7, got 8"),
        ([3, 7, 1], r"shape \(4,\), got \(3,\)"),
    ],
)
@every_layer
def test_the_error_on_wrong_lengths_names_the_value(
    name: str, lengths: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build(name)(sequences(), torch.tensor(lengths))


@every_layer
def test_a_bidirectional_layer_cannot_step(name: str) -> None:
    with pytest.raises(ValueError, match="bidirectional"):
        build(name, bidirectional=True).step(sequences()[:, 0])


@every_layer
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"zoneot": 0.1}, "has no option zoneot; it has zoneout"),
        ({"zoneout": 1.0}, "zoneout must be at least 0 and below 1, got 1.0"),
        ({"weight_drop": -0.1}, "weight_drop must be at least 0 and below 1, got -0.1"),
    ],
)
def test_invalid_options_are_errors(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_layer(name, INPUT, HIDDEN, options=options)


def test_the_error_on_an_unknown_layer_suggests_close_names() -> None:
    with pytest.raises(ValueError, match="no recurrent layer LSTN: did you mean LSTM"):
        build_layer("LSTN", INPUT, HIDDEN)


@every_layer
def test_a_layer_documents_its_year_and_source(name: str) -> None:
    layer = LAYERS[name]
    assert 1980 < layer.year < 2030
    assert re.search(r"Source: .+ \(\d{4}\), https://", layer.__doc__)
    assert layer.__doc__.partition("\n")[0].endswith(".")
    assert {
        "variational_dropout",
        "weight_drop",
        "zoneout",
        "trainable_initial_state",
    } <= layer_kwargs(name).keys()


@every_layer
@pytest.mark.parametrize(("inputs", "hidden"), [(8, 16), (24, 8)])
def test_the_cost_formula_matches_the_size_of_the_matrices(
    name: str, inputs: int, hidden: int
) -> None:
    """Each weight of a matrix is used once per step; all other terms are small."""
    heads = layer_kwargs(name).get("heads")
    layer = build_layer(name, inputs, hidden, options={"heads": 2} if heads is not None else {})
    size = sum(p.numel() for key, p in layer.named_parameters() if p.dim() > 1)
    formula = layer.cost.replace("heads", "2")
    formula = re.sub(r"(?<=[\dDH)])(?=[DH(])", "*", formula).replace("^", "**")
    cost = eval(formula, {"D": inputs, "H": hidden})  # a formula from this repository
    assert cost == pytest.approx(size, rel=0.35), (layer.cost, size)
