"""Laws of the sequence regressor."""

import pytest
import torch
from lightning import Trainer

from rnn_lab.datamodules import AddingProblem
from rnn_lab.errors import UserError
from rnn_lab.models import SequenceRegressor
from rnn_lab.nn import LAYERS
from rnn_lab.tasks.regression.batch import RegressionBatch

INPUT_DIM, OUTPUT_DIM = 3, 2
VARIANTS = [
    {},
    {"layer": "GRU", "bidirectional": True, "pooling": "mean+max", "num_layers": 2},
    {"layer": "RNN", "pooling": "attention", "initialization": "torch"},
]


def build(**options):
    torch.manual_seed(0)
    return SequenceRegressor(INPUT_DIM, 16, OUTPUT_DIM, **options)


def make_batch(rows=8, time=7):
    """Sequences of different lengths, padded with zeros."""
    torch.manual_seed(1)
    lengths = torch.randint(1, time + 1, (rows,))
    lengths[0] = time
    real = torch.arange(time) < lengths.unsqueeze(1)
    values = torch.randn(rows, time, INPUT_DIM).masked_fill(~real.unsqueeze(2), 0)
    return RegressionBatch(values, torch.randn(rows, OUTPUT_DIM), lengths)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_row_has_the_same_prediction_alone_in_a_batch_and_padded(variant):
    model, (x, _, lengths) = build(**variant).eval(), make_batch()
    wider = torch.cat([x, torch.ones_like(x[:, :3])], 1)
    together, padded = model(x, lengths), model(wider, lengths)
    assert together.shape == (8, OUTPUT_DIM)
    torch.testing.assert_close(padded, together)
    for i, length in enumerate(lengths):
        alone = model(x[i : i + 1, :length], lengths[i : i + 1])
        torch.testing.assert_close(alone[0], together[i], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_gets_no_gradient(variant):
    model, (x, targets, lengths) = build(**variant).eval(), make_batch()
    x = x.requires_grad_()
    model.step(RegressionBatch(x, targets, lengths)).loss.backward()
    padding = torch.arange(x.shape[1]) >= lengths.unsqueeze(1)
    assert (x.grad[padding] == 0).all()
    assert (x.grad[~padding] != 0).any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_gets_a_gradient(variant):
    model = build(**variant)
    model.step(make_batch()).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("variant", VARIANTS)
def test_memorizes_eight_examples(variant):
    model, batch = build(**variant).eval(), make_batch()
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    for _ in range(60):
        optimizer.zero_grad()
        model.step(batch).loss.backward()
        optimizer.step()
    assert model.step(batch).loss < 0.05 * batch.targets.var()


def test_the_loss_is_the_mean_squared_error_over_rows_and_targets():
    model, batch = build().eval(), make_batch()
    output = model.step(batch)
    expected = (model(batch.values, batch.lengths) - batch.targets).square().mean()
    torch.testing.assert_close(output.loss, expected)
    assert output.num_targets == len(batch.targets)
    torch.testing.assert_close(output.predictions, model(batch.values, batch.lengths).detach())


@pytest.mark.parametrize("layer", LAYERS)
def test_any_layer_can_be_used(layer):
    options = {"layer_kwargs": {"variational_dropout": True}, "dropouts": {"layer": 0.1}}
    model = build(layer=layer, num_layers=2, **options)
    output = model.step(make_batch())
    output.loss.backward()
    assert type(model.recurrent) is LAYERS[layer]
    assert output.loss.isfinite()


def test_bfloat16_autocast_gives_nearly_the_same_predictions():
    model, batch = build().eval(), make_batch()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model.step(batch)
    assert rounded.predictions.dtype == torch.float32
    exact = model.step(batch).predictions
    torch.testing.assert_close(rounded.predictions, exact, atol=0.05, rtol=0.05)


def test_a_saved_checkpoint_gives_the_same_predictions(tmp_path):
    options = {"layer": "GRU", "num_layers": 2, "pooling": "mean", "dropouts": {"head": 0.1}}
    model = build(**options).eval()
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    loaded = SequenceRegressor.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True).eval()
    x, _, lengths = make_batch()
    torch.testing.assert_close(loaded(x, lengths), model(x, lengths))


def test_noise_is_added_in_training_only():
    model, batch = build(input_noise=0.5), make_batch()
    assert model.step(batch).loss != model.step(batch).loss
    model.eval()
    assert model.step(batch).loss == model.step(batch).loss


def test_predicting_one_has_the_baseline_loss_of_the_adding_problem():
    data = AddingProblem(10, 10, 2000, 10, batch_size=500)
    model = SequenceRegressor(data.input_dim, 8, data.output_dim)
    with torch.no_grad():
        model.fc.weight.zero_()
        model.fc.bias.fill_(1)
    losses = [model.step(batch).loss.item() for batch in data.val_dataloader()]
    assert sum(losses) / len(losses) == pytest.approx(data.baseline, rel=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "LSTN"}, "no recurrent layer LSTN: did you mean LSTM"),
        ({"num_layers": 0}, "num_layers must be at least 1, got 0"),
        ({"output_dim": None}, "needs output_dim"),
        ({"hidden_dim": 0}, "hidden_dim must be at least 1, got 0"),
        ({"input_noise": -1.0}, "got -1.0"),
        ({"pooling": "median"}, "pooling must be"),
        ({"layer_kwargs": {"zoneuot": 0.1}}, "LSTM has no option zoneuot"),
        ({"dropouts": {"heads": 0.1}}, "Dropouts has no option 'heads'"),
    ],
)
def test_invalid_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SequenceRegressor(INPUT_DIM, **options)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((5, 8, 1), "SequenceRegressor expects 5 features per step, AddingProblem has 2"),
        ((2, 8, 3), "SequenceRegressor predicts 3 numbers, AddingProblem has 1 targets"),
    ],
)
def test_data_of_other_sizes_is_refused(sizes, message):
    with pytest.raises(UserError, match=message):
        SequenceRegressor(*sizes).check_data(AddingProblem(4, 4, 4, 4))
