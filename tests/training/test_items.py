"""Every row of a test is saved in order, and the scores can be computed from the rows."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from command_line import REVIEWS, SIZES, run
from every_model import build_model, data_of
from lightning.pytorch.callbacks import Callback
from sacrebleu.metrics import BLEU

from rnn_lab.errors import UserError
from rnn_lab.io.row_table import RowTable
from rnn_lab.io.run_files import ITEMS
from rnn_lab.training import ItemReport


def mean_error(rows, scores):
    for name in ("mse", "mae", "smape", "mase"):
        weighted = (rows[name] * rows["values"]).sum() / rows["values"].sum()
        assert weighted == pytest.approx(scores[name], rel=1e-5)
    origins = rows["origin"].tolist()
    assert origins == sorted(origins)


def accuracy(rows, scores):
    assert np.mean(rows["target"] == rows["prediction"]) == pytest.approx(scores["accuracy"])
    probabilities = np.stack(rows["probabilities"])
    assert np.allclose(probabilities.sum(1), 1)
    assert np.array_equal(probabilities.max(1), rows["probability"])


def squared_error(rows, scores):
    error = np.stack(rows["target"]) - np.stack(rows["prediction"])
    assert np.square(error).mean() == pytest.approx(scores["mse"], rel=1e-5)


def correct_steps(rows, scores):
    assert rows["correct"].sum() / rows["steps"].sum() == pytest.approx(scores["accuracy"])


def corpus_scores(rows, scores):
    counts = np.stack(rows["bleu_counts"]).sum(0)
    bleu = BLEU(lowercase=True, force=True)
    assert bleu._aggregate_and_compute([counts.tolist()]).score == pytest.approx(scores["bleu"])
    texts = rows["prediction"].tolist(), [rows["target"].tolist()]
    assert bleu.corpus_score(*texts).score == pytest.approx(scores["bleu"])
    assert rows["source_length"].min() > 1  # a word and the end
    matches, lines = np.stack(rows["exact_match_counts"]).sum(0)
    assert matches / lines == pytest.approx(scores["exact_match"])


SCORES = {
    "TextClassifier": accuracy,
    "SequenceClassifier": accuracy,
    "SequenceRegressor": squared_error,
    "SequenceTagger": correct_steps,
    "LSTMForecaster": mean_error,
    "Translator": corpus_scores,
}


def check(name, make_trainer, *callbacks):
    """Test an untrained model; return trainer, rows by column, and scores by name."""
    torch.manual_seed(0)
    model = build_model(name)
    data = data_of(model.batch_type)
    trainer = make_trainer(callbacks=[ItemReport(), *callbacks], logger=False)
    (logged,) = trainer.test(model, data, verbose=False)
    rows = pq.read_table(Path(trainer.default_root_dir, ITEMS)).to_pandas()
    scores = {key.removeprefix("test/"): value for key, value in logged.items()}
    return data, {key: rows[key].to_numpy() for key in rows}, scores


@pytest.mark.parametrize("name", SCORES)
def test_scores_follow_from_the_rows(name, make_trainer):
    data, rows, scores = check(name, make_trainer)
    count = len(data.split("test"))
    assert rows["row"].tolist() == data.row_numbers("test", np.arange(count)).tolist()
    SCORES[name](rows, scores)


def test_labels_of_multi_label_rows_are_lists(make_trainer, monkeypatch):
    _, before, _ = check("TextClassifier", make_trainer)
    step = type(build_model("TextClassifier")).test_step

    def with_both(self, batch, batch_idx):
        output = step(self, batch, batch_idx)
        targets = torch.ones_like(output.predictions, dtype=torch.long)
        return output._replace(targets=targets)

    monkeypatch.setattr(type(build_model("TextClassifier")), "test_step", with_both)
    _, rows, _ = check("TextClassifier", make_trainer)
    assert {tuple(labels) for labels in rows["target"]} == {("negative", "positive")}
    assert [labels.tolist() for labels in rows["prediction"]] == [[p] for p in before["prediction"]]


def test_tasks_without_items_save_no_rows(make_trainer):
    model = build_model("LSTMLanguageModel")
    trainer = make_trainer(callbacks=[ItemReport()], logger=False)
    trainer.test(model, data_of(model.batch_type), verbose=False)
    assert not Path(trainer.default_root_dir, ITEMS).exists()


def test_a_dry_run_saves_no_rows(make_trainer):
    model = build_model("TextClassifier")
    trainer = make_trainer(callbacks=[ItemReport()], logger=False, fast_dev_run=True)
    trainer.test(model, data_of(model.batch_type), verbose=False)
    assert not Path(trainer.default_root_dir).exists()


class Probe(Callback):
    """Counts the rows that are held in memory."""

    def on_test_batch_end(self, trainer, *_):
        report = next(each for each in trainer.callbacks if isinstance(each, ItemReport))
        assert not report._table._tables


def test_rows_are_written_during_the_test(make_trainer, monkeypatch):
    monkeypatch.setattr("rnn_lab.io.row_table.BUFFERED_ROWS", 1)
    check("TextClassifier", make_trainer, Probe())


def test_rows_in_a_folder_of_another_node_are_missed(make_trainer, monkeypatch, caplog):
    def gather(trainer, items):
        return [*items, 3]

    monkeypatch.setattr("rnn_lab.training.items.gather_from_all_ranks", gather)
    check("TextClassifier", make_trainer)
    assert f"{ITEMS} has 16 of 19 rows: the run folder is not shared by all nodes" in caplog.text


def test_a_full_disk_is_reported(make_trainer, monkeypatch):
    def full(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RowTable, "merge", full)
    with pytest.raises(UserError, match=rf"{ITEMS} cannot be written: No space left on device"):
        check("TextClassifier", make_trainer)


@pytest.mark.slow
def test_two_processes_save_the_same_rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = [*REVIEWS, *SIZES, "--experiment=a", "--trainer.limit_train_batches=1"]
    assert run("fit", *options, "--name=one", "--test=true") == 0
    line = [sys.executable, "-m", "rnn_lab", "test", "--ckpt_path=runs/a/one/checkpoints/best.ckpt"]
    two = ["--experiment=a", "--name=two", "--trainer.devices=2", "--trainer.strategy=ddp"]
    subprocess.run([*line, *two, "--trainer.accelerator=cpu"], check=True, capture_output=True)
    first, second = (pq.read_table(f"runs/a/{name}/{ITEMS}").to_pandas() for name in ("one", "two"))
    assert first.drop(columns=["probability", "probabilities"]).equals(
        second.drop(columns=["probability", "probabilities"])
    )
    assert np.allclose(np.stack(first.probabilities), np.stack(second.probabilities), atol=1e-6)
