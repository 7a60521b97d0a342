"""Laws of regularization, initial states and errors, for every recurrent layer."""

import pytest
import torch
from random_layers import (
    HIDDEN,
    INPUT,
    LENGTHS,
    TIME,
    build,
    every_layer,
    reachable_state,
    sequences,
    weighted_sum,
)
from torch import Tensor

from rnn_lab.nn import LAYERS
from rnn_lab.nn.dropout import variational_dropout
from rnn_lab.nn.functional.state import as_tuple, map_state
from rnn_lab.nn.layers import Cell, UnrolledRNN, stack

every_option = pytest.mark.parametrize(
    "options", [{"zoneout": 0.3}, {"weight_drop": 0.4}, {"variational_dropout": True}], ids=str
)


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


def test_weight_drop_of_a_parameter_that_a_cell_lacks_is_refused() -> None:
    class InputCell(Cell):
        def build(self) -> None:
            self.gate = torch.nn.Linear(self.input_size, self.hidden_size)

        def project(self, x: Tensor) -> Tensor:
            return self.gate(x)

        def update(self, projected: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (projected + state[0],)

    class InputLayer(UnrolledRNN):
        cell, year, cost = InputCell, 2024, "DH"

    InputLayer(INPUT, HIDDEN)
    reason = r"applies to weight_hh, .* weight_drop_params to some of gate\.weight, gate\.bias"
    with pytest.raises(ValueError, match=reason):
        InputLayer(INPUT, HIDDEN, weight_drop=0.1)
