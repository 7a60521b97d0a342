"""Reports of a language model: generated text, and likelihoods of blocks of the test split."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from command_line import run
from lightning import seed_everything
from tiny import TinyData

from rnn_lab.datamodules import SyntheticText
from rnn_lab.errors import UserError
from rnn_lab.io.run_files import ITEMS
from rnn_lab.models import AWDLSTM, LSTMLanguageModel
from rnn_lab.tasks.language_modeling.reports import BLOCK, BlockReport, GenerationReport


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


def blocks(folder):
    table = pq.read_table(Path(folder, ITEMS)).to_pandas()
    return {name: table[name].to_numpy() for name in table}


def scored(make_trainer, **sizes):
    """Test an untrained model; return the targets of the split, blocks, and scores by name."""
    data = SyntheticText(60, 12, 200, **sizes)
    model = build(data)
    torch.nn.init.normal_(model.head.weight)  # else all targets are equally likely
    folder = "-".join(map(str, sizes.values()))
    trainer = make_trainer(folder, logger=False, callbacks=[BlockReport()])
    (scores,) = trainer.test(model, data, verbose=False)
    return len(data.split("test")) - 1, blocks(trainer.default_root_dir), scores


@pytest.mark.parametrize("rows", [1, 3, 10])
@pytest.mark.parametrize("bptt", [7, 35])
def test_scores_are_functions_of_sums_over_blocks(rows, bptt, make_trainer):
    targets, table, scores = scored(make_trainer, eval_batch_size=rows, bptt=bptt)
    assert table["row"].tolist() == [*range(1, len(table["row"]) + 1)]
    assert table["tokens"].sum() == targets > 2 * BLOCK
    assert {*table["tokens"][:-1]} == {BLOCK}
    loss = table["nll"].sum() / targets
    assert loss == pytest.approx(scores["test/loss"], rel=1e-6)
    assert np.exp(loss) == pytest.approx(scores["test/perplexity"], rel=1e-5)


def test_blocks_are_those_of_the_text_whatever_the_segments(make_trainer):
    _, one, _ = scored(make_trainer, eval_batch_size=1, bptt=7)
    _, other, _ = scored(make_trainer, eval_batch_size=1, bptt=35)
    assert np.array_equal(one["tokens"], other["tokens"])
    assert np.allclose(one["nll"], other["nll"], rtol=1e-5)
    assert np.ptp(one["nll"][:-1]) > 1  # blocks differ
    _, rows, _ = scored(make_trainer, eval_batch_size=10, bptt=7)
    assert np.allclose(one["nll"], rows["nll"], rtol=0.01)  # ten rows begin without context


def test_a_dry_run_and_limited_batches_leave_blocks_out(make_trainer):
    data = SyntheticText(60, 12, 200, bptt=10, eval_batch_size=1)
    for name, options in (("dry", {"fast_dev_run": True}), ("some", {"limit_test_batches": 3})):
        trainer = make_trainer(name, logger=False, callbacks=[BlockReport()], **options)
        trainer.test(build(data), data, verbose=False)
    assert not Path(make_trainer("dry").default_root_dir, ITEMS).exists()
    (tokens,) = blocks(trainer.default_root_dir)["tokens"]
    assert 20 <= tokens <= 30


@pytest.mark.slow
def test_two_processes_write_the_blocks_of_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = ["--data=SyntheticText", "--data.train_size=60", "--data.test_size=200"]
    sizes = ["--model.embedding_dim=8", "--model.hidden_dim=8", "--trainer.max_epochs=1"]
    line = ["--model=LSTMLanguageModel", *data, *sizes, "--trainer.accelerator=cpu"]
    assert run("fit", *line, "--experiment=a", "--name=one", "--test=true") == 0
    test = ["test", "--ckpt_path=runs/a/one/checkpoints/best.ckpt", "--experiment=a", "--name=two"]
    two = ["--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.accelerator=cpu"]
    command = [sys.executable, "-m", "rnn_lab", *test, *two]
    subprocess.run(command, check=True, capture_output=True)
    one, other = blocks("runs/a/one"), blocks("runs/a/two")
    assert np.array_equal(one["tokens"], other["tokens"])
    assert np.allclose(one["nll"], other["nll"], rtol=1e-5)
