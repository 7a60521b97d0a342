"""Laws of all text classifiers."""

import pytest
import torch
from every_model import accepted
from lightning import Trainer
from torch import nn

from rnn_lab import models
from rnn_lab.models import (
    BagOfNgramsClassifier,
    BiLSTMClassifier,
    LSTMClassifier,
    PackedLSTM,
    SentimentLSTM,
    TextClassifier,
    TransformerClassifier,
)
from rnn_lab.tasks.text_classification.batch import TextBatch
from rnn_lab.tasks.text_classification.options import Dropouts, Initialization, TextLossConfig

RECURRENT = [LSTMClassifier, BiLSTMClassifier, PackedLSTM, SentimentLSTM, TextClassifier]
ALL_MODELS = [*RECURRENT, TransformerClassifier, BagOfNgramsClassifier]
VOCABULARY, CLASSES = 30, 2
SIZES = {"embedding_dim": 12, "hidden_dim": 16, "num_buckets": 40}


def build(cls, **arguments):
    torch.manual_seed(0)
    return cls(VOCABULARY, **accepted(cls, SIZES), **arguments)


def texts(rows=8, time=7):
    """Texts of different lengths, padded."""
    torch.manual_seed(1)
    lengths = torch.randint(1, time + 1, (rows,))
    lengths[0] = time
    labels = torch.arange(rows) % CLASSES
    real = torch.arange(time) < lengths.unsqueeze(1)
    tokens = torch.randint(2, VOCABULARY, (rows, time)).masked_fill(~real, 0)
    return TextBatch(tokens, labels, lengths)


def test_every_public_model_is_tested_here():
    public = {getattr(models, name) for name in models.__all__}
    models_of_this_task = {c for c in public if c.batch_type is TextBatch}
    assert models_of_this_task == set(ALL_MODELS)


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_logits_do_not_depend_on_batch_or_padding(cls):
    model, (x, _, lengths) = build(cls).eval(), texts()
    wider = torch.cat([x, torch.ones_like(x[:, :3])], 1)
    together, padded = model.logits(x, lengths), model.logits(wider, lengths)
    torch.testing.assert_close(padded, together)
    for i, length in enumerate(lengths):
        alone = model.logits(x[i : i + 1, :length], lengths[i : i + 1])
        torch.testing.assert_close(alone[0], together[i], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_without_lengths_all_rows_are_full(cls):
    model, (x, _, _) = build(cls).eval(), texts()
    full = torch.full((len(x),), x.shape[1])
    torch.testing.assert_close(model.logits(x), model.logits(x, full))


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_every_parameter_gets_a_gradient(cls):
    model = build(cls)
    model.step(texts(7)).loss.backward()  # the gradient of a bias may be zero for equal classes
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_memorizes_eight_examples(cls):
    model, batch = build(cls).eval(), texts()
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    for _ in range(60):
        optimizer.zero_grad()
        model.step(batch).loss.backward()
        optimizer.step()
    predictions = model.step(batch).predictions
    assert (predictions.argmax(1) == batch.labels).all()


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_probabilities_are_the_softmax_of_the_logits(cls):
    model, (x, _, lengths) = build(cls).eval(), texts()
    probabilities = model.probabilities(x, lengths)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(len(x)))
    torch.testing.assert_close(probabilities, model.logits(x, lengths).softmax(1))


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_bfloat16_autocast_gives_nearly_equal_logits(cls):
    model, (x, _, lengths) = build(cls).eval(), texts()
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
    x, _, lengths = texts()
    torch.testing.assert_close(restored.logits(x, lengths), model.logits(x, lengths))


def test_the_usage_lines_of_the_textbook_run_unchanged():
    text = torch.randint(0, 1000, (32, 50))
    model = LSTMClassifier(vocab_size=1000, embedding_dim=100, hidden_dim=256, num_classes=5)
    assert model(text).shape == (32, 5)
    assert BiLSTMClassifier(1000, 100, 256, 5)(text).shape == (32, 5)
    assert PackedLSTM(1000, 100, 256, 5)(text, torch.full((32,), 50)).shape == (32, 5)
    probability = SentimentLSTM(vocab_size=1000)(text, torch.randint(1, 51, (32,)))
    assert probability.shape == (32,)
    assert ((probability > 0) & (probability < 1)).all()


def test_bilstm_classifier_equals_that_of_the_textbook():
    """Both final states of the top layer, as `hidden[-2]` and `hidden[-1]` of torch's own."""
    model = BiLSTMClassifier(VOCABULARY, 12, 16, 3).eval()
    textbook = nn.LSTM(12, 16, 2, batch_first=True, dropout=0.3, bidirectional=True).eval()
    textbook.load_state_dict(model.recurrent.state_dict())
    x = torch.randint(1, VOCABULARY, (5, 9))
    _, (hidden, _) = textbook(model.embedding(x))
    expected = model.fc(torch.cat([hidden[-2], hidden[-1]], 1))
    torch.testing.assert_close(model(x), expected)


def test_the_loss_of_sentiment_lstm_is_binary_cross_entropy():
    model = build(SentimentLSTM).eval()
    batch = texts()
    probability = model(batch.tokens, batch.lengths)
    expected = nn.functional.binary_cross_entropy(probability, batch.labels.float())
    torch.testing.assert_close(model.step(batch).loss, expected)


def test_dropout_rates_are_those_of_the_textbook():
    rates = {
        cls: (build(cls).recurrent.dropout, build(cls).dropout.p)
        for cls in (BiLSTMClassifier, PackedLSTM, SentimentLSTM)
    }
    assert rates == {BiLSTMClassifier: (0.3, 0.5), PackedLSTM: (0, 0), SentimentLSTM: (0.5, 0.5)}
    stacked = LSTMClassifier(VOCABULARY, 12, 16, 2, num_layers=2)
    assert (stacked.recurrent.dropout, stacked.dropout.p) == (0.3, 0.5)


@pytest.mark.parametrize("pooling", ["final", "mean", "max", "attention", "final+mean+max"])
@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU"])
def test_the_configurable_model_takes_any_layer_and_pooling(layer, pooling):
    model = TextClassifier(
        VOCABULARY, 12, 16, 3, 2, layer=layer, pooling=pooling, bidirectional=True,
        dropouts=Dropouts(embedding=0.2, word=0.2), initialization=Initialization(0.1, "torch"),
        loss=TextLossConfig(label_smoothing=0.1, class_weights=[1, 2, 3]),
    )  # fmt: skip
    output = model.step(texts())
    output.loss.backward()
    assert output.predictions.shape == (8, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "LSTN"}, "no recurrent layer LSTN: did you mean LSTM"),
        ({"num_layers": 0}, "num_layers must be at least 1, got 0"),
        (
            {"loss": {"class_weights": [1.0]}},
            "must have 2 numbers, one per class, got 1",
        ),
        ({"dropouts": {"output": 0.1}}, "Dropouts has no option 'output'"),
        ({"num_classes": None}, "needs num_classes"),
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):  # a UserError is one, too
        TextClassifier(VOCABULARY, **arguments)
