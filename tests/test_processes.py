"""Two processes from the command line write one run, with the metrics of one process."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from rnn_lab.__main__ import main as rnn_lab

pytestmark = pytest.mark.slow

TWO = ["--trainer.strategy=ddp", "--trainer.devices=2", "--trainer.accelerator=cpu"]
SIZES = ["--model=LSTMClassifier", "--model.embedding_dim=8", "--model.hidden_dim=8"]
EPOCH = [*SIZES, "--data.batch_size=4", "--trainer.max_epochs=1"]
OFFLINE = Path(__file__).parents[1] / "configs/logger/offline.yaml"
TRAIN, VALID, TEST = 37, 13, 23  # not divisible by the number of processes or the batch size

WITNESS = """
import json
from lightning.pytorch.callbacks import Callback

class Witness(Callback):
    seen = None
    def on_train_start(self, trainer, task):
        self.seen = []
    def on_train_batch_end(self, trainer, task, outputs, batch, batch_idx):
        words = trainer.datamodule.tokenizer.words
        self.seen.append([words[i] for i in batch.tokens[:, 0].tolist()])
    def on_train_end(self, trainer, task):
        with open(f"seen-{trainer.global_rank}.json", "w") as file:
            json.dump([self.seen, float(sum(p.abs().sum() for p in task.parameters()))], file)
"""


LOSSES = """
import torch
from lightning.pytorch.callbacks import Callback

class Losses(Callback):
    def __init__(self):
        self.losses = []
    def on_train_batch_end(self, trainer, task, outputs, batch, batch_idx):
        self.losses.append(trainer.strategy.reduce(outputs["loss"], reduce_op="mean").item())
    def on_train_end(self, trainer, task):
        if trainer.is_global_zero:
            torch.save([self.losses, task.state_dict()], f"losses-{trainer.world_size}.pt")
"""


def write_texts(path, count, start):
    """Write texts of different lengths whose first words are unique."""
    random.seed(start)
    lines = []
    for number in range(start, start + count):
        words = random.choices(["fine", "good", "kind", "dull", "poor", "rude"], k=1 + number % 6)
        label = random.choices(["up", "down"], [1 + words.count("good"), 1 + words.count("dull")])
        lines.append(f"{label[0]} text{number} {' '.join(words)}\n")
    path.write_text("".join(lines))


def command(folder, *words):
    """Run a command in its own process group, which is killed afterwards; return its errors."""
    environment = {k: v for k, v in os.environ.items() if k not in ("RNN_LAB_RUN", "RNN_LAB_DATA")}
    environment |= {"XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", *map(str, words)],
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        _, errors = process.communicate(timeout=120)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.returncode == 0, errors
    return errors


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which two processes fitted and tested with an offline W&B logger."""
    folder = tmp_path_factory.mktemp("two")
    for name, count, start in (("train", TRAIN, 0), ("valid", VALID, 100), ("test", TEST, 200)):
        write_texts(folder / f"{name}.txt", count, start)
    (folder / "witness.py").write_text(WITNESS)
    files = [f"--data.{name}={name}.txt" for name in ("train", "valid", "test")]
    words = [*EPOCH, *TWO, "--data=TextFiles", *files, "--trainer.callbacks+=witness.Witness"]
    errors = command(folder, "rnn_lab", "fit", *words, "-c", OFFLINE, "--test=true")
    assert "sync_dist" not in errors  # which Lightning's warnings name
    return folder


@pytest.fixture
def run(folder, monkeypatch):
    """The only run folder there."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("RNN_LAB_RUN", raising=False)
    (run,) = (folder / "runs").glob("*/*")
    return run


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def measured(run, stage):
    """Return the last metrics of a stage."""
    row = [row for row in table(run / "metrics.csv") if row.get(f"{stage}/loss")][-1]
    return {k: float(v) for k, v in row.items() if k.startswith(f"{stage}/") and v}


def test_two_processes_write_one_run(run):
    assert {path.name for path in run.iterdir()} >= {
        "config.yaml", "checkpoints", "metrics.csv", "curves.png", "confusion_matrix.png",
        "misclassified.csv", "wandb",
    }  # fmt: skip
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert len(list(run.glob("wandb/offline-run-*"))) == 1
    assert len([row for row in table(run / "metrics.csv") if row["val/loss"]]) == 1


def test_every_row_is_trained_once_in_equally_many_batches_per_process(folder, run):
    (first, weight), (second, other_weight) = (
        json.loads((folder / f"seen-{rank}.json").read_text()) for rank in (0, 1)
    )
    assert len(first) == len(second)
    seen = Counter(text for batches in (first, second) for batch in batches for text in batch)
    assert seen == Counter(f"text{number}" for number in range(TRAIN))
    assert weight == other_weight


def test_one_process_computes_the_same_metrics(run):
    best = run / "checkpoints/best.ckpt"
    files = [f"--data.{name}={name}.txt" for name in ("train", "valid", "test")]
    one = ["--ckpt_path", str(best), *files, "--trainer.accelerator=cpu", "--trainer.devices=1"]
    of_two = {stage: measured(run, stage) for stage in ("val", "test")}
    misclassified = table(run / "misclassified.csv")
    assert rnn_lab(["validate", *one]) == 0
    assert rnn_lab(["test", *one]) == 0
    for stage, metrics in of_two.items():
        assert metrics.keys() == {f"{stage}/{n}" for n in ("loss", "accuracy", "f1", "auroc")}
        assert measured(run, stage) == pytest.approx(metrics, abs=1e-6)
    assert len(misclassified) == round(TEST * (1 - of_two["test"]["test/accuracy"]))
    assert {row["text"] for row in table(run / "misclassified.csv")} == {
        row["text"] for row in misclassified
    }


def test_torchrun_writes_one_run(tmp_path):
    launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"]
    words = [*EPOCH, *TWO, "--data=SyntheticReviews", "--data.train_size=18"]
    sizes = ["--data.valid_size=6", "--data.test_size=9"]
    command(tmp_path, *launcher, "rnn_lab", "fit", *words, *sizes, "--test=true")
    (run,) = (tmp_path / "runs").glob("*/*")
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert len([row for row in table(run / "metrics.csv") if row["test/loss"]]) == 1


def test_two_processes_translate_like_one(tmp_path, monkeypatch):
    """Training uses token batches; every test line is translated once, with the same scores."""
    pairs = "".join(
        f"{'one two ' * (n % 4)}row {n}\tzeile {n}{' zwei eins' * (n % 4)}\n" for n in range(41)
    )
    (tmp_path / "pairs.tsv").write_text(pairs)
    files = [f"--data.{name}=pairs.tsv" for name in ("train", "valid", "test")]
    small = ["--model=AttentionTranslator", "--model.embedding_dim=8", "--model.hidden_dim=8"]
    words = ["--data=ParallelFiles", "--data.tokenizer.kind=words", *files]
    words += ["--data.batch_tokens=20"]
    short = ["--data.batch_size=6", "--trainer.max_epochs=2", "--name=a", "--test=true"]
    command(tmp_path, "rnn_lab", "fit", *small, *words, *short, *TWO)
    run = tmp_path / "runs/ParallelFiles/a"
    of_two = measured(run, "test")
    written = (run / "translations.test.jsonl").read_text()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RNN_LAB_RUN", raising=False)
    one = ["--ckpt_path", str(run / "checkpoints/best.ckpt"), *files, "--trainer.devices=1"]
    assert rnn_lab(["test", *one, "--trainer.accelerator=cpu"]) == 0
    row = table(run / "metrics.test.csv")[-1]
    assert of_two == pytest.approx({name: float(row[name]) for name in of_two}, rel=1e-5)
    assert (run / "translations.test.jsonl").read_text() == written
    sources = [json.loads(line)["source"] for line in written.splitlines()]
    assert sources == [line.split("\t")[0] for line in pairs.splitlines()]


def test_two_processes_with_half_the_batch_size_have_the_losses_of_one(tmp_path):
    (tmp_path / "losses.py").write_text(LOSSES)
    sizes = ["--data=SyntheticReviews", "--data.train_size=320", "--data.valid_size=40"]
    words = ["--model=TextClassifier", "--model.hidden_dim=8", "--model.dropouts.head=0", *sizes]
    words += ["--trainer.max_epochs=5", "--model.optimizer=Adam"]
    words += ["--model.optimizer.lr=0.02", "--trainer.callbacks+=losses.Losses"]
    words += ["--early_stopping.patience=9"]
    one = ["--trainer.devices=1", "--trainer.accelerator=cpu", "--data.batch_size=32", "--name=one"]
    command(tmp_path, "rnn_lab", "fit", *words, *one)
    command(tmp_path, "rnn_lab", "fit", *words, *TWO, "--data.batch_size=16", "--name=two")
    (losses, weights), (losses_of_two, weights_of_two) = (
        torch.load(tmp_path / f"losses-{number}.pt") for number in (1, 2)
    )
    assert len(losses) == 50
    assert sum(losses[-10:]) < sum(losses[:10]) - 0.1  # the loss decreases
    assert losses_of_two == pytest.approx(losses, abs=1e-5)
    torch.testing.assert_close(weights_of_two, weights, rtol=0, atol=1e-4)
    epochs = [
        [float(row["train/loss"]) for row in table(run / "metrics.csv") if row["train/loss"]]
        for run in sorted((tmp_path / "runs").glob("*/*"))
    ]
    assert epochs[0] == pytest.approx(epochs[1], abs=1e-6)
