"""What every named architecture for texts promises."""

import pytest
import torch
from lightning import Trainer
from torch import nn

from rnn_lab import models
from rnn_lab.classification.loss import class_scores, weigh_classes
from rnn_lab.models import (
    BiLSTMClassifier,
    LSTMClassifier,
    PackedLSTM,
    SentimentLSTM,
    TextClassifier,
)
from rnn_lab.tasks.text_classification.batch import TextBatch

ALL_MODELS = [LSTMClassifier, BiLSTMClassifier, PackedLSTM, SentimentLSTM, TextClassifier]
VOCABULARY, CLASSES = 30, 2


def build(cls, **arguments):
    torch.manual_seed(0)
    return cls(VOCABULARY, 12, 16, **arguments)


def texts(rows=8, time=7):
    """Texts of unlike lengths, padded."""
    torch.manual_seed(1)
    lengths = torch.randint(1, time + 1, (rows,))
    lengths[0] = time
    labels = torch.arange(rows) % CLASSES
    real = torch.arange(time) < lengths.unsqueeze(1)
    tokens = torch.randint(2, VOCABULARY, (rows, time)).masked_fill(~real, 0)
    return TextBatch(tokens, labels, lengths)


def test_every_exported_architecture_is_under_these_laws():
    exported = {getattr(models, name) for name in models.__all__}
    reading = {c for c in exported if c.batch_type is TextBatch}
    assert reading == set(ALL_MODELS)


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_a_row_is_scored_the_same_alone_in_a_batch_and_padded(cls):
    model, (x, _, lengths) = build(cls).eval(), texts()
    wider = torch.cat([x, torch.ones_like(x[:, :3])], 1)
    together, padded = model.logits(x, lengths), model.logits(wider, lengths)
    torch.testing.assert_close(padded, together)
    for i, length in enumerate(lengths):
        alone = model.logits(x[i : i + 1, :length], lengths[i : i + 1])
        torch.testing.assert_close(alone[0], together[i], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_without_lengths_all_rows_count_as_full(cls):
    model, (x, _, _) = build(cls).eval(), texts()
    full = torch.full((len(x),), x.shape[1])
    torch.testing.assert_close(model.logits(x), model.logits(x, full))


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_every_parameter_gets_a_gradient(cls):
    model = build(cls)
    model.step(texts()).loss.backward()
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
def test_probabilities_sum_to_one_and_follow_the_logits(cls):
    model, (x, _, lengths) = build(cls).eval(), texts()
    probabilities = model.probabilities(x, lengths)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(len(x)))
    torch.testing.assert_close(probabilities, model.logits(x, lengths).softmax(1))


@pytest.mark.parametrize("cls", ALL_MODELS)
def test_bfloat16_autocast_gives_nearly_the_same(cls):
    model, (x, _, lengths) = build(cls).eval(), texts()
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
    x, _, lengths = texts()
    torch.testing.assert_close(again.logits(x, lengths), model.logits(x, lengths))


def test_the_usage_lines_of_the_chapter_work_unchanged():
    text = torch.randint(0, 1000, (32, 50))
    model = LSTMClassifier(vocab_size=1000, embedding_dim=100, hidden_dim=256, num_classes=5)
    assert model(text).shape == (32, 5)
    assert BiLSTMClassifier(1000, 100, 256, 5)(text).shape == (32, 5)
    assert PackedLSTM(1000, 100, 256, 5)(text, torch.full((32,), 50)).shape == (32, 5)
    probability = SentimentLSTM(vocab_size=1000)(text, torch.randint(1, 51, (32,)))
    assert probability.shape == (32,)
    assert ((probability > 0) & (probability < 1)).all()


def test_bilstm_classifier_is_the_chapters_with_its_weights():
    """Both final states of the top layer, as `hidden[-2]` and `hidden[-1]` of torch's own."""
    model = BiLSTMClassifier(VOCABULARY, 12, 16, 3).eval()
    theirs = nn.LSTM(12, 16, 2, batch_first=True, dropout=0.3, bidirectional=True).eval()
    theirs.load_state_dict(model.recurrent.state_dict())
    x = torch.randint(1, VOCABULARY, (5, 9))
    _, (hidden, _) = theirs(model.embedding(x))
    expected = model.fc(torch.cat([hidden[-2], hidden[-1]], 1))
    torch.testing.assert_close(model(x), expected)


def test_sentiment_lstm_takes_its_loss_on_the_logit():
    model = build(SentimentLSTM).eval()
    batch = texts()
    probability = model(batch.tokens, batch.lengths)
    expected = nn.functional.binary_cross_entropy(probability, batch.labels.float())
    torch.testing.assert_close(model.step(batch).loss, expected)


def test_dropout_is_where_the_chapter_has_it():
    found = {
        cls: (build(cls).recurrent.dropout, build(cls).dropout.p)
        for cls in (BiLSTMClassifier, PackedLSTM, SentimentLSTM)
    }
    assert found == {BiLSTMClassifier: (0.3, 0.5), PackedLSTM: (0, 0), SentimentLSTM: (0.5, 0.5)}
    deep = LSTMClassifier(VOCABULARY, 12, 16, 2, num_layers=2)
    assert (deep.recurrent.dropout, deep.dropout.p) == (0.3, 0.5)


@pytest.mark.parametrize("pooling", ["final", "mean", "max", "attention", "final+mean+max"])
@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU"])
def test_the_family_takes_any_layer_and_pooling(layer, pooling):
    model = TextClassifier(
        VOCABULARY, 12, 16, 3, 2, layer=layer, pooling=pooling, bidirectional=True,
        embedding_dropout=0.2, word_dropout=0.2, label_smoothing=0.1, class_weights=[1, 2, 3],
    )  # fmt: skip
    scores = model.step(texts())
    scores.loss.backward()
    assert scores.predictions.shape == (8, 3)


def test_balanced_class_weights_are_one_on_average_over_the_texts():
    weights = weigh_classes("balanced", [10, 30, 60], 3)
    torch.testing.assert_close(
        (weights * torch.tensor([10.0, 30, 60])).sum() / 100, torch.tensor(1.0)
    )
    torch.testing.assert_close(weights[0], 6 * weights[2])


def test_several_labels_are_scored_each_for_itself():
    logits, labels = torch.randn(4, 3), torch.tensor([[1.0, 0, 1]] * 4)
    scores = class_scores(logits, labels)
    expected = nn.functional.binary_cross_entropy(logits.sigmoid(), labels)
    torch.testing.assert_close(scores.loss, expected)
    assert scores.targets.dtype == torch.int64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "LSTN"}, "no recurrent layer LSTN: did you mean LSTM"),
        ({"num_layers": 0}, "num_layers must be at least 1, got 0"),
        ({"class_weights": [1.0]}, "class_weights must be 2 numbers, got 1"),
        ({"class_weights": "balanced"}, "need rows of each class"),
        ({"num_classes": None}, "needs num_classes"),
    ],
)
def test_arguments_without_meaning_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):  # a UserError is one, too
        TextClassifier(VOCABULARY, **arguments)
