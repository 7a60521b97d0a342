"""Laws of all sequence classifiers."""

from types import SimpleNamespace

import pytest
import torch
from lightning import Trainer
from torch import nn

from rnn_lab import models
from rnn_lab.classification.loss import LossConfig
from rnn_lab.datamodules import SyntheticChirps
from rnn_lab.errors import UserError
from rnn_lab.models import (
    BiGRUSequenceClassifier,
    GRUClassifier,
    LSTMSequenceClassifier,
    SequenceClassifier,
)
from rnn_lab.tasks.sequence_classification.batch import SequenceBatch
from rnn_lab.tasks.sequence_classification.models import Dropouts

ALL_MODELS = [GRUClassifier, LSTMSequenceClassifier, BiGRUSequenceClassifier, SequenceClassifier]
FEATURES, CLASSES = 3, 2


def build(cls, **arguments):
    torch.manual_seed(0)
    return cls(FEATURES, 16, CLASSES, **arguments)


def sequences(rows=8, time=7):
    """Sequences of different lengths, padded with zeros."""
    torch.manual_seed(1)
    lengths = torch.randint(1, time + 1, (rows,))
    lengths[0] = time
    real = torch.arange(time) < lengths.unsqueeze(1)
    values = torch.randn(rows, time, FEATURES).masked_fill(~real.unsqueeze(2), 0)
    return SequenceBatch(values, torch.arange(rows) % CLASSES, lengths)


def test_every_public_model_is_tested_here():
    public = {getattr(models, name) for name in models.__all__}
    models_of_this_task = {c for c in public if c.batch_type is SequenceBatch}
    assert models_of_this_task == set(ALL_MODELS)


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_logits_do_not_depend_on_batch_or_padding(cls):
    model, (x, _, lengths) = build(cls).eval(), sequences()
    wider = torch.cat([x, torch.ones_like(x[:, :3])], 1)
    together, padded = model.logits(x, lengths), model.logits(wider, lengths)
    torch.testing.assert_close(padded, together)
    for i, length in enumerate(lengths):
        alone = model.logits(x[i : i + 1, :length], lengths[i : i + 1])
        torch.testing.assert_close(alone[0], together[i], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_padding_is_never_read_forward_or_backward(cls):
    model, (x, labels, lengths) = build(cls).eval(), sequences()
    x = x.requires_grad_()
    model.step(SequenceBatch(x, labels, lengths)).loss.backward()
    padding = torch.arange(x.shape[1]) >= lengths.unsqueeze(1)
    assert (x.grad[padding] == 0).all()
    assert (x.grad[~padding] != 0).any()


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_without_lengths_all_rows_are_full(cls):
    model, (x, _, _) = build(cls).eval(), sequences()
    full = torch.full((len(x),), x.shape[1])
    torch.testing.assert_close(model.logits(x), model.logits(x, full))


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_every_parameter_gets_a_gradient(cls):
    model = build(cls)
    model.step(sequences()).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_memorizes_eight_examples(cls):
    model, batch = build(cls).eval(), sequences()
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    for _ in range(60):
        optimizer.zero_grad()
        model.step(batch).loss.backward()
        optimizer.step()
    assert (model.step(batch).predictions.argmax(1) == batch.labels).all()


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_probabilities_are_the_softmax_of_the_logits(cls):
    model, (x, _, lengths) = build(cls).eval(), sequences()
    probabilities = model.probabilities(x, lengths)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(len(x)))
    torch.testing.assert_close(probabilities, model.logits(x, lengths).softmax(1))


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_bfloat16_autocast_gives_nearly_equal_logits(cls):
    model, (x, _, lengths) = build(cls).eval(), sequences()
    with torch.autocast("cpu", torch.bfloat16):
        half = model.logits(x, lengths)
    torch.testing.assert_close(half.float(), model.logits(x, lengths), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_a_saved_checkpoint_gives_the_same_logits(cls, tmp_path):
    model = build(cls).eval()
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    restored = cls.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True).eval()
    x, _, lengths = sequences()
    torch.testing.assert_close(restored.logits(x, lengths), model.logits(x, lengths))


def test_gru_classifier_equals_that_of_the_textbook():
    model = GRUClassifier(10, 64, 4).eval()
    textbook = nn.GRU(10, 64, 2, batch_first=True, dropout=0.3).eval()
    textbook.load_state_dict(model.recurrent.state_dict())
    x = torch.randn(32, 20, 10)
    _, hidden = textbook(x)
    torch.testing.assert_close(model(x), model.fc(hidden[-1]))


def test_dropout_is_between_layers_and_in_the_bidirectional_model_after_them():
    rates = {cls: (build(cls, num_layers=2).recurrent.dropout, build(cls).dropout.p) for cls in
             (GRUClassifier, LSTMSequenceClassifier, BiGRUSequenceClassifier)}  # fmt: skip
    assert rates == {
        GRUClassifier: (0.3, 0), LSTMSequenceClassifier: (0.3, 0),
        BiGRUSequenceClassifier: (0.3, 0.3),
    }  # fmt: skip


@pytest.mark.parametrize("pooling", ["final", "mean", "max", "attention", "final+mean+max"])
@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU"])
def test_the_configurable_model_takes_any_layer_and_pooling(layer, pooling):
    model = SequenceClassifier(
        FEATURES, 16, 3, 2, layer=layer, pooling=pooling, bidirectional=True,
        dropouts=Dropouts(head=0.2), input_noise=0.2,
        loss=LossConfig(label_smoothing=0.1, class_weights=[1, 2, 3]),
    )  # fmt: skip
    output = model.step(sequences())
    output.loss.backward()
    assert output.predictions.shape == (8, 3)


def test_class_weights_in_the_loss_may_be_those_of_the_data():
    model = SequenceClassifier(2, num_classes=4, loss=LossConfig(class_weights="balanced"))
    strategy = SimpleNamespace(precision_plugin=None)
    model.trainer = SimpleNamespace(datamodule=SyntheticChirps(8, 4, 4), strategy=strategy)
    model.setup("test")
    torch.testing.assert_close(model.class_weights, torch.ones(4))
    model.trainer = SimpleNamespace(datamodule=None, strategy=strategy)
    with pytest.raises(UserError, match="balanced requires a data module"):
        model.setup("test")


def test_noise_is_added_in_training_only():
    model, batch = build(SequenceClassifier, input_noise=0.5), sequences()
    assert model.step(batch).loss != model.step(batch).loss
    model.eval()
    assert model.step(batch).loss == model.step(batch).loss


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "LSTN"}, "no recurrent layer LSTN: did you mean LSTM"),
        ({"num_layers": 0}, "num_layers must be at least 1, got 0"),
        (
            {"loss": {"class_weights": [1.0]}},
            "must have 2 numbers, one per class, got 1",
        ),
        ({"loss": {"multi_label": True}}, "LossConfig has no option 'multi_label'"),
        ({"num_classes": None}, "needs num_classes"),
        ({"input_noise": -1.0}, "noise must be at least 0, got -1.0"),
        ({"pooling": "median"}, "pooling must be one of final, mean"),
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SequenceClassifier(FEATURES, **arguments)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((5, 8, 4), "SequenceClassifier expects 5 features per step, SyntheticChirps has 2"),
        ((2, 8, 3), "SequenceClassifier predicts 3 classes, SyntheticChirps has 4"),
    ],
)
def test_data_of_other_sizes_is_refused(sizes, message):
    with pytest.raises(UserError, match=message):
        SequenceClassifier(*sizes).check_data(SyntheticChirps(4, 4, 4))
