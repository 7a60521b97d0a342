"""Laws of the sequence tagger."""

import pytest
import torch
from lightning import Trainer
from torch.nn import functional

from rnn_lab.datamodules import CopyMemory
from rnn_lab.errors import UserError
from rnn_lab.models import SequenceTagger
from rnn_lab.nn import LAYERS
from rnn_lab.tasks.tagging.batch import TaggingBatch

VOCAB_SIZE, NUM_CLASSES = 9, 4
VARIANTS = [
    {},
    {"embedding_dim": None},
    {"layer": "GRU", "bidirectional": True, "num_layers": 2},
    {"layer": "RNN", "initialization": "torch"},
]


def build(**options):
    torch.manual_seed(0)
    return SequenceTagger(VOCAB_SIZE, **{"hidden_dim": 16, "num_classes": NUM_CLASSES, **options})


def make_batch(rows=8, time=7):
    """Sequences of different lengths; labels on padding are not valid classes."""
    torch.manual_seed(1)
    lengths = torch.randint(1, time + 1, (rows,))
    lengths[0] = time
    padding = torch.arange(time) >= lengths.unsqueeze(1)
    tokens = torch.randint(1, VOCAB_SIZE, (rows, time)).masked_fill(padding, 0)
    labels = torch.randint(NUM_CLASSES, (rows, time)).masked_fill(padding, -100_000)
    return TaggingBatch(tokens, labels, lengths)


def real_steps(batch):
    return torch.arange(batch.tokens.size(1)) < batch.lengths.unsqueeze(1)


def build_trainer(**options):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return Trainer(accelerator="cpu", enable_model_summary=False, **quiet, **options)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_row_has_the_same_logits_alone_in_a_batch_and_padded(variant):
    model, (x, _, lengths) = build(**variant).eval(), make_batch()
    wider = torch.cat([x, torch.ones_like(x[:, :3])], 1)
    together, padded = model(x, lengths), model(wider, lengths)
    assert together.shape == (8, 7, NUM_CLASSES)
    for i, length in enumerate(lengths):
        alone = model(x[i : i + 1, :length], lengths[i : i + 1])[0]
        torch.testing.assert_close(padded[i, :length], alone, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(together[i, :length], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_neither_padding_nor_its_labels_influence_loss_or_gradients(variant):
    model, batch = build(**variant).eval(), make_batch()
    padding = ~real_steps(batch)
    other = batch._replace(
        tokens=batch.tokens.masked_fill(padding, 5), labels=batch.labels.masked_fill(padding, 1)
    )
    results = []
    for each in (batch, other):
        model.zero_grad()
        model.step(each).loss.backward()
        results.append([model.step(each).loss, *(p.grad.clone() for p in model.parameters())])
    torch.testing.assert_close(results[0], results[1])


def test_loss_predictions_and_targets_are_over_real_steps_only():
    model, batch = build().eval(), make_batch()
    logits, real = model.logits(batch.tokens, batch.lengths), real_steps(batch)
    output = model.step(batch)
    expected = functional.cross_entropy(logits[real], batch.labels[real])
    torch.testing.assert_close(output.loss, expected)
    assert output.num_targets == int(batch.lengths.sum())
    assert torch.equal(output.targets, batch.labels[real])
    probabilities = model.probabilities(batch.tokens, batch.lengths)
    torch.testing.assert_close(output.predictions, probabilities[real].detach())


def test_full_rows_have_the_same_output_as_padded_ones():
    model, batch = build().eval(), make_batch()
    row = TaggingBatch(batch.tokens[:1], batch.labels[:1], batch.lengths[:1])
    wider = TaggingBatch(
        functional.pad(row.tokens, (0, 2)), functional.pad(row.labels, (0, 2)), row.lengths
    )
    torch.testing.assert_close(model.step(wider), model.step(row))


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
    output = model.step(batch)
    assert (output.predictions.argmax(1) == output.targets).float().mean() > 0.9


@pytest.mark.parametrize("layer", LAYERS)
def test_any_layer_can_be_used(layer):
    options = {"layer_kwargs": {"variational_dropout": True}, "dropouts": {"layer": 0.1}}
    model = build(layer=layer, num_layers=2, **options)
    output = model.step(make_batch())
    output.loss.backward()
    assert type(model.recurrent) is LAYERS[layer]
    assert output.loss.isfinite()


def test_a_saved_checkpoint_gives_the_same_logits(tmp_path):
    model = build(embedding_dim=None, layer="GRU", dropouts={"head": 0.1}).eval()
    trainer = build_trainer()
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    loaded = SequenceTagger.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True).eval()
    x, _, lengths = make_batch()
    torch.testing.assert_close(loaded(x, lengths), model(x, lengths))


def test_the_accuracy_of_nonblank_steps_is_measured_separately():
    data = CopyMemory(5, 4, 3, 8, 8, 8, batch_size=4)
    model = SequenceTagger(data.vocab_size, 8, 8, data.num_classes)
    with torch.no_grad():
        model.fc.weight.zero_()
        model.fc.bias.copy_(torch.eye(5)[1])  # predicts the first symbol always
    (metrics,) = build_trainer().test(model, data, verbose=False)
    labels = torch.cat([batch.labels for batch in data.test_dataloader()])
    assert metrics["test/accuracy"] == pytest.approx(float((labels == 1).float().mean()))
    nonblank = labels[labels != data.blank]
    expected = float((nonblank == 1).float().mean())
    assert metrics["test/accuracy_nonblank"] == pytest.approx(expected)


def test_without_a_blank_label_only_the_accuracy_is_measured():
    data = CopyMemory(5, 4, 3, 8, 8, 8, batch_size=4)
    model = SequenceTagger(data.vocab_size, 8, 8, data.num_classes)
    (metrics,) = build_trainer().test(model, data.test_dataloader(), verbose=False)
    assert set(metrics) == {"test/loss", "test/accuracy"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "LSTN"}, "no recurrent layer LSTN: did you mean LSTM"),
        ({"embedding_dim": 0}, "embedding_dim must be at least 1, got 0"),
        ({"num_classes": None}, "needs num_classes"),
        ({"layer_kwargs": {"zoneuot": 0.1}}, "LSTM has no option zoneuot"),
        ({"dropouts": {"heads": 0.1}}, "Dropouts has no option 'heads'"),
    ],
)
def test_invalid_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SequenceTagger(VOCAB_SIZE, **options)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((5, 8, 8, 9), "SequenceTagger has a vocabulary of 5, CopyMemory of 11"),
        ((11, 8, 8, 3), "SequenceTagger predicts 3 classes, CopyMemory has 9"),
    ],
)
def test_data_of_other_sizes_is_refused(sizes, message):
    with pytest.raises(UserError, match=message):
        SequenceTagger(*sizes).check_data(CopyMemory(4, 8, 2, 4, 4, 4))
