"""What every named architecture for series promises."""

import pytest
import torch
from lightning import Trainer
from torch import nn

from rnn_lab import models
from rnn_lab.datamodules import SyntheticChirps
from rnn_lab.errors import UserError
from rnn_lab.models import (
    BiGRUClassifier,
    GRUClassifier,
    LSTMSequenceClassifier,
    SequenceClassifier,
)
from rnn_lab.tasks.sequence_classification.batch import SequenceBatch

ALL_MODELS = [GRUClassifier, LSTMSequenceClassifier, BiGRUClassifier, SequenceClassifier]
FEATURES, CLASSES = 3, 2


def build(cls, **arguments):
    torch.manual_seed(0)
    return cls(FEATURES, 16, CLASSES, **arguments)


def series(rows=8, time=7):
    """Series of unlike lengths, padded with zeros."""
    torch.manual_seed(1)
    lengths = torch.randint(1, time + 1, (rows,))
    lengths[0] = time
    real = torch.arange(time) < lengths.unsqueeze(1)
    values = torch.randn(rows, time, FEATURES).masked_fill(~real.unsqueeze(2), 0)
    return SequenceBatch(values, torch.arange(rows) % CLASSES, lengths)


def test_every_exported_architecture_is_under_these_laws():
    exported = {getattr(models, name) for name in models.__all__}
    reading = {c for c in exported if c.batch_type is SequenceBatch}
    assert reading == set(ALL_MODELS)


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_a_row_is_scored_the_same_alone_in_a_batch_and_padded(cls):
    model, (x, _, lengths) = build(cls).eval(), series()
    wider = torch.cat([x, torch.ones_like(x[:, :3])], 1)
    together, padded = model.logits(x, lengths), model.logits(wider, lengths)
    torch.testing.assert_close(padded, together)
    for i, length in enumerate(lengths):
        alone = model.logits(x[i : i + 1, :length], lengths[i : i + 1])
        torch.testing.assert_close(alone[0], together[i], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_padding_is_never_read_forward_or_backward(cls):
    model, (x, labels, lengths) = build(cls).eval(), series()
    x = x.requires_grad_()
    model.step(SequenceBatch(x, labels, lengths)).loss.backward()
    padding = torch.arange(x.shape[1]) >= lengths.unsqueeze(1)
    assert (x.grad[padding] == 0).all()
    assert (x.grad[~padding] != 0).any()


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_without_lengths_all_rows_count_as_full(cls):
    model, (x, _, _) = build(cls).eval(), series()
    full = torch.full((len(x),), x.shape[1])
    torch.testing.assert_close(model.logits(x), model.logits(x, full))


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_every_parameter_gets_a_gradient(cls):
    model = build(cls)
    model.step(series()).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_memorizes_eight_examples(cls):
    model, batch = build(cls).eval(), series()
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    for _ in range(60):
        optimizer.zero_grad()
        model.step(batch).loss.backward()
        optimizer.step()
    assert (model.step(batch).predictions.argmax(1) == batch.labels).all()


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_probabilities_sum_to_one_and_follow_the_logits(cls):
    model, (x, _, lengths) = build(cls).eval(), series()
    probabilities = model.probabilities(x, lengths)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(len(x)))
    torch.testing.assert_close(probabilities, model.logits(x, lengths).softmax(1))


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_bfloat16_autocast_gives_nearly_the_same(cls):
    model, (x, _, lengths) = build(cls).eval(), series()
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.logits(x, lengths)
    torch.testing.assert_close(rough.float(), model.logits(x, lengths), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_a_saved_checkpoint_gives_the_same_logits(cls, tmp_path):
    model = build(cls).eval()
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = cls.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True).eval()
    x, _, lengths = series()
    torch.testing.assert_close(again.logits(x, lengths), model.logits(x, lengths))


def test_gru_classifier_is_the_chapters_with_its_weights():
    model = GRUClassifier(10, 64, 4).eval()
    theirs = nn.GRU(10, 64, 2, batch_first=True, dropout=0.3).eval()
    theirs.load_state_dict(model.recurrent.state_dict())
    x = torch.randn(32, 20, 10)
    _, hidden = theirs(x)
    torch.testing.assert_close(model(x), model.fc(hidden[-1]))


def test_dropout_is_between_layers_and_in_the_bidirectional_one_after_them():
    found = {cls: (build(cls, num_layers=2).recurrent.dropout, build(cls).dropout.p) for cls in
             (GRUClassifier, LSTMSequenceClassifier, BiGRUClassifier)}  # fmt: skip
    assert found == {
        GRUClassifier: (0.3, 0), LSTMSequenceClassifier: (0.3, 0), BiGRUClassifier: (0.3, 0.3)
    }  # fmt: skip


@pytest.mark.parametrize("pooling", ["final", "mean", "max", "attention", "final+mean+max"])
@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU"])
def test_the_family_takes_any_layer_and_pooling(layer, pooling):
    model = SequenceClassifier(
        FEATURES, 16, 3, 2, layer=layer, pooling=pooling, bidirectional=True, head_dropout=0.2,
        input_noise=0.2, label_smoothing=0.1, class_weights=[1, 2, 3],
    )  # fmt: skip
    scores = model.step(series())
    scores.loss.backward()
    assert scores.predictions.shape == (8, 3)


def test_noise_is_added_in_training_only():
    model, batch = build(SequenceClassifier, input_noise=0.5), series()
    assert model.step(batch).loss != model.step(batch).loss
    model.eval()
    assert model.step(batch).loss == model.step(batch).loss


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "LSTN"}, "no recurrent layer LSTN: did you mean LSTM"),
        ({"num_layers": 0}, "num_layers must be at least 1, got 0"),
        ({"class_weights": [1.0]}, "class_weights must be 2 numbers, got 1"),
        ({"class_weights": "balanced"}, "need rows of each class"),
        ({"num_classes": None}, "needs num_classes"),
        ({"input_noise": -1.0}, "a deviation of at least 0, got -1.0"),
        ({"pooling": "median"}, "pooling must be of final, mean"),
    ],
)
def test_arguments_without_meaning_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SequenceClassifier(FEATURES, **arguments)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((5, 8, 4), "SequenceClassifier reads 5 features a step, SyntheticChirps has 2"),
        ((2, 8, 3), "SequenceClassifier tells 3 classes, SyntheticChirps has 4"),
    ],
)
def test_data_of_other_sizes_is_refused(sizes, message):
    with pytest.raises(UserError, match=message):
        SequenceClassifier(*sizes).check_data(SyntheticChirps(4, 4, 4))
