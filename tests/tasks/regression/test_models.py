"""What the regressor of series promises."""

import pytest
import torch
from lightning import Trainer

from rnn_lab.datamodules import AddingProblem
from rnn_lab.errors import UserError
from rnn_lab.models import SequenceRegressor
from rnn_lab.nn import LAYERS
from rnn_lab.tasks.regression.batch import RegressionBatch

FEATURES, NUMBERS = 3, 2
KINDS = [
    {},
    {"layer": "GRU", "bidirectional": True, "pooling": "mean+max", "num_layers": 2},
    {"layer": "RNN", "pooling": "attention", "initialization": "torch"},
]


def build(**arguments):
    torch.manual_seed(0)
    return SequenceRegressor(FEATURES, 16, NUMBERS, **arguments)


def series(rows=8, time=7):
    """Series of unlike lengths, padded with zeros."""
    torch.manual_seed(1)
    lengths = torch.randint(1, time + 1, (rows,))
    lengths[0] = time
    real = torch.arange(time) < lengths.unsqueeze(1)
    values = torch.randn(rows, time, FEATURES).masked_fill(~real.unsqueeze(2), 0)
    return RegressionBatch(values, torch.randn(rows, NUMBERS), lengths)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_told_the_same_alone_in_a_batch_and_padded(kind):
    model, (x, _, lengths) = build(**kind).eval(), series()
    wider = torch.cat([x, torch.ones_like(x[:, :3])], 1)
    together, padded = model(x, lengths), model(wider, lengths)
    assert together.shape == (8, NUMBERS)
    torch.testing.assert_close(padded, together)
    for i, length in enumerate(lengths):
        alone = model(x[i : i + 1, :length], lengths[i : i + 1])
        torch.testing.assert_close(alone[0], together[i], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_never_read_forward_or_backward(kind):
    model, (x, targets, lengths) = build(**kind).eval(), series()
    x = x.requires_grad_()
    model.step(RegressionBatch(x, targets, lengths)).loss.backward()
    padding = torch.arange(x.shape[1]) >= lengths.unsqueeze(1)
    assert (x.grad[padding] == 0).all()
    assert (x.grad[~padding] != 0).any()


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_gets_a_gradient(kind):
    model = build(**kind)
    model.step(series()).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_memorizes_eight_examples(kind):
    model, batch = build(**kind).eval(), series()
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    for _ in range(60):
        optimizer.zero_grad()
        model.step(batch).loss.backward()
        optimizer.step()
    assert model.step(batch).loss < 0.05 * batch.targets.var()


def test_the_loss_is_the_mean_squared_error_over_rows_and_numbers():
    model, batch = build().eval(), series()
    scores = model.step(batch)
    wanted = (model(batch.values, batch.lengths) - batch.targets).square().mean()
    torch.testing.assert_close(scores.loss, wanted)
    assert scores.num_targets == len(batch.targets)
    torch.testing.assert_close(scores.predictions, model(batch.values, batch.lengths).detach())


@pytest.mark.parametrize("layer", LAYERS)
def test_any_layer_can_be_chosen(layer):
    model = build(layer=layer, layer_kwargs={"variational_dropout": True}, num_layers=2, dropouts={"layer": 0.1})
    scores = model.step(series())
    scores.loss.backward()
    assert type(model.recurrent) is LAYERS[layer]
    assert scores.loss.isfinite()


def test_bfloat16_autocast_gives_nearly_the_same():
    model, batch = build().eval(), series()
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.step(batch)
    assert rough.predictions.dtype == torch.float32
    wanted = model.step(batch).predictions
    torch.testing.assert_close(rough.predictions, wanted, atol=0.05, rtol=0.05)


def test_a_saved_checkpoint_tells_the_same(tmp_path):
    model = build(layer="GRU", num_layers=2, pooling="mean").eval()
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = SequenceRegressor.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True).eval()
    x, _, lengths = series()
    torch.testing.assert_close(again(x, lengths), model(x, lengths))


def test_noise_is_added_in_training_only():
    model, batch = build(input_noise=0.5), series()
    assert model.step(batch).loss != model.step(batch).loss
    model.eval()
    assert model.step(batch).loss == model.step(batch).loss


def test_saying_one_has_the_error_that_the_adding_problem_promises():
    data = AddingProblem(10, 10, 2000, 10, batch_size=500)
    model = SequenceRegressor(data.input_dim, 8, data.output_dim)
    with torch.no_grad():
        model.fc.weight.zero_()
        model.fc.bias.fill_(1)
    losses = [model.step(batch).loss.item() for batch in data.val_dataloader()]
    assert sum(losses) / len(losses) == pytest.approx(data.baseline, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "LSTN"}, "no recurrent layer LSTN: did you mean LSTM"),
        ({"num_layers": 0}, "num_layers must be at least 1, got 0"),
        ({"output_dim": None}, "needs output_dim"),
        ({"hidden_dim": 0}, "hidden_dim must be at least 1, got 0"),
        ({"input_noise": -1.0}, "noise must be at least 0, got -1.0"),
        ({"pooling": "median"}, "pooling must be one of final, mean"),
        ({"layer_kwargs": {"zoneuot": 0.1}}, "LSTM has no option zoneuot"),
    ],
)
def test_arguments_without_meaning_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SequenceRegressor(FEATURES, **arguments)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((5, 8, 1), "SequenceRegressor reads 5 features a step, AddingProblem has 2"),
        ((2, 8, 3), "SequenceRegressor tells 3 numbers, AddingProblem asks for 1"),
    ],
)
def test_data_of_other_sizes_is_refused(sizes, message):
    with pytest.raises(UserError, match=message):
        SequenceRegressor(*sizes).check_data(AddingProblem(4, 4, 4, 4))
