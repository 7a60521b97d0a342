"""What the tagger of sequences promises."""

import pytest
import torch
from lightning import Trainer
from torch.nn import functional

from rnn_lab.datamodules import CopyMemory
from rnn_lab.errors import UserError
from rnn_lab.models import SequenceTagger
from rnn_lab.nn import LAYERS
from rnn_lab.tasks.tagging.batch import TaggingBatch

TOKENS, CLASSES = 9, 4
KINDS = [
    {},
    {"embedding_dim": None},
    {"layer": "GRU", "bidirectional": True, "num_layers": 2},
    {"layer": "RNN", "initialization": "torch"},
]


def build(**arguments):
    torch.manual_seed(0)
    return SequenceTagger(TOKENS, **{"hidden_dim": 16, "num_classes": CLASSES, **arguments})


def sequences(rows=8, time=7):
    """Sequences of unlike lengths; labels of padding are of no class."""
    torch.manual_seed(1)
    lengths = torch.randint(1, time + 1, (rows,))
    lengths[0] = time
    padding = torch.arange(time) >= lengths.unsqueeze(1)
    tokens = torch.randint(1, TOKENS, (rows, time)).masked_fill(padding, 0)
    labels = torch.randint(CLASSES, (rows, time)).masked_fill(padding, -100_000)
    return TaggingBatch(tokens, labels, lengths)


def real(batch):
    return torch.arange(batch.tokens.size(1)) < batch.lengths.unsqueeze(1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_labeled_the_same_alone_in_a_batch_and_padded(kind):
    model, (x, _, lengths) = build(**kind).eval(), sequences()
    wider = torch.cat([x, torch.ones_like(x[:, :3])], 1)
    together, padded = model(x, lengths), model(wider, lengths)
    assert together.shape == (8, 7, CLASSES)
    for i, length in enumerate(lengths):
        alone = model(x[i : i + 1, :length], lengths[i : i + 1])[0]
        torch.testing.assert_close(padded[i, :length], alone, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(together[i, :length], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_never_read_nor_its_labels(kind):
    model, batch = build(**kind).eval(), sequences()
    padding = ~real(batch)
    other = batch._replace(
        tokens=batch.tokens.masked_fill(padding, 5), labels=batch.labels.masked_fill(padding, 1)
    )
    losses = []
    for each in (batch, other):
        model.zero_grad()
        model.step(each).loss.backward()
        losses.append([model.step(each).loss, *(p.grad.clone() for p in model.parameters())])
    torch.testing.assert_close(losses[0], losses[1])


def test_the_loss_and_what_is_measured_are_over_real_steps_alone():
    model, batch = build().eval(), sequences()
    logits, chosen = model.logits(batch.tokens, batch.lengths), real(batch)
    scores = model.step(batch)
    wanted = functional.cross_entropy(logits[chosen], batch.labels[chosen])
    torch.testing.assert_close(scores.loss, wanted)
    assert scores.num_targets == int(batch.lengths.sum())
    assert torch.equal(scores.targets, batch.labels[chosen])
    probabilities = model.probabilities(batch.tokens, batch.lengths)
    torch.testing.assert_close(scores.predictions, probabilities[chosen].detach())


def test_full_rows_are_scored_as_padded_ones():
    model, batch = build().eval(), sequences()
    row = TaggingBatch(batch.tokens[:1], batch.labels[:1], batch.lengths[:1])
    wider = TaggingBatch(
        functional.pad(row.tokens, (0, 2)), functional.pad(row.labels, (0, 2)), row.lengths
    )
    torch.testing.assert_close(model.step(wider), model.step(row))


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_gets_a_gradient(kind):
    model = build(**kind)
    model.step(sequences()).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_memorizes_eight_examples(kind):
    model, batch = build(**kind).eval(), sequences()
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    for _ in range(60):
        optimizer.zero_grad()
        model.step(batch).loss.backward()
        optimizer.step()
    scores = model.step(batch)
    assert (scores.predictions.argmax(1) == scores.targets).float().mean() > 0.9


@pytest.mark.parametrize("layer", LAYERS)
def test_any_layer_can_be_chosen(layer):
    model = build(layer=layer, layer_kwargs={"variational_dropout": True}, num_layers=2, dropouts={"layer": 0.1})
    scores = model.step(sequences())
    scores.loss.backward()
    assert type(model.recurrent) is LAYERS[layer]
    assert scores.loss.isfinite()


def test_a_saved_checkpoint_gives_the_same_logits(tmp_path):
    model = build(embedding_dim=None, layer="GRU").eval()
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = SequenceTagger.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True).eval()
    x, _, lengths = sequences()
    torch.testing.assert_close(again(x, lengths), model(x, lengths))


def quiet(**arguments):
    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return Trainer(accelerator="cpu", enable_model_summary=False, **silent, **arguments)


def test_steps_that_are_not_blank_are_measured_alone():
    data = CopyMemory(5, 4, 3, 8, 8, 8, batch_size=4)
    model = SequenceTagger(data.vocab_size, 8, 8, data.num_classes)
    with torch.no_grad():
        model.fc.weight.zero_()
        model.fc.bias.copy_(torch.eye(5)[1])  # says the first symbol always
    (found,) = quiet().test(model, data, verbose=False)
    labels = torch.cat([batch.labels for batch in data.test_dataloader()])
    assert found["test/accuracy"] == pytest.approx(float((labels == 1).float().mean()))
    said = labels[labels != data.blank]
    assert found["test/accuracy_nonblank"] == pytest.approx(float((said == 1).float().mean()))


def test_without_a_blank_label_only_accuracy_is_measured():
    data = CopyMemory(5, 4, 3, 8, 8, 8, batch_size=4)
    (found,) = quiet().test(
        SequenceTagger(data.vocab_size, 8, 8, data.num_classes),
        data.test_dataloader(),
        verbose=False,
    )
    assert set(found) == {"test/loss", "test/accuracy"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "LSTN"}, "no recurrent layer LSTN: did you mean LSTM"),
        ({"embedding_dim": 0}, "embedding_dim must be at least 1, got 0"),
        ({"num_classes": None}, "needs num_classes"),
        ({"layer_kwargs": {"zoneuot": 0.1}}, "LSTM has no option zoneuot"),
    ],
)
def test_arguments_without_meaning_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SequenceTagger(TOKENS, **arguments)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((5, 8, 8, 9), "SequenceTagger reads 5 tokens, CopyMemory has 11"),
        ((11, 8, 8, 3), "SequenceTagger tells 3 classes, CopyMemory has 9"),
    ],
)
def test_data_of_other_sizes_is_refused(sizes, message):
    with pytest.raises(UserError, match=message):
        SequenceTagger(*sizes).check_data(CopyMemory(4, 8, 2, 4, 4, 4))
