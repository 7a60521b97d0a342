"""Report of a language model: generated text."""

import csv
from pathlib import Path

import pytest
import torch
from lightning import seed_everything
from tiny import TinyData

from rnn_lab.datamodules import SyntheticText
from rnn_lab.errors import UserError
from rnn_lab.models import AWDLSTM, LSTMLanguageModel
from rnn_lab.tasks.language_modeling.reports import GenerationReport


@pytest.fixture
def data():
    return SyntheticText(60, 12, 12, batch_size=4, bptt=10)


def table(trainer):
    with open(Path(trainer.default_root_dir, "generated.csv"), newline="") as file:
        return list(csv.DictReader(file))


def build(data, cls=LSTMLanguageModel):
    seed_everything(0, verbose=False)
    return cls(data.vocab_size, 6, 8, 2)


def test_each_validation_writes_the_texts_of_its_epoch(data, make_trainer):
    trainer = make_trainer(max_epochs=2, callbacks=GenerationReport(2, 5))
    trainer.fit(build(data), data)
    rows = table(trainer)
    assert [(row["epoch"], row["sample"]) for row in rows] == [("2", "1"), ("2", "2")]
    words = {word for row in rows for word in row["text"].split()}
    assert words
    assert words <= set(data.tokenizer.words)


@pytest.mark.parametrize("cls", [LSTMLanguageModel, AWDLSTM])
def test_training_is_the_same_with_and_without_the_report(cls, data, make_trainer):
    weights = []
    for callbacks in ([], [GenerationReport()]):
        model = build(data, cls)
        make_trainer(max_epochs=2, callbacks=callbacks, enable_checkpointing=False).fit(model, data)
        assert model.training
        weights.append(torch.nn.utils.parameters_to_vector(model.parameters()))
    assert torch.equal(*weights)


def test_half_precision_generates_text(data, make_trainer):
    options = {"precision": "bf16-true", "callbacks": GenerationReport(1, 5), "max_epochs": 1}
    trainer = make_trainer(**options)
    trainer.fit(build(data), data)
    assert len(table(trainer)) == 1


def test_generated_text_is_logged_to_wandb(data, make_trainer, logged_tables):
    logger, tables = logged_tables
    trainer = make_trainer(max_epochs=1, logger=logger, callbacks=GenerationReport(2, 5))
    trainer.fit(build(data), data)
    ((key, columns, rows),) = tables
    assert (key, columns) == ("val/generated", ["epoch", "sample", "text"])
    assert [row[:2] for row in rows] == [[1, 1], [1, 2]]


@pytest.mark.parametrize("options", [{"fast_dev_run": True}, {"limit_val_batches": 0}], ids=str)
def test_runs_without_validation_write_nothing(options, data, make_trainer):
    trainer = make_trainer(max_epochs=1, callbacks=GenerationReport(), **options)
    trainer.fit(build(data), data)
    assert not Path(trainer.default_root_dir, "generated.csv").exists()


def test_validation_alone_and_other_tasks_write_nothing(data, task, make_trainer):
    trainer = make_trainer(max_epochs=1, callbacks=GenerationReport())
    trainer.validate(build(data), data, verbose=False)
    trainer.fit(task(), TinyData())
    assert not Path(trainer.default_root_dir, "generated.csv").exists()


@pytest.mark.parametrize("option", ["samples", "max_new_tokens"])
def test_numbers_below_one_are_refused(option):
    with pytest.raises(UserError, match=f"{option} must be at least 1, got 0"):
        GenerationReport(**{option: 0})
