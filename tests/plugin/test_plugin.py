"""Tasks, data modules and plain modules of user packages, from the command line."""

import csv
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
TAGGER = ("--model=conll_tagger.WordTagger", "--data=conll_tagger.ConllFiles")
RUN = ("--experiment=e", "--name=n", "--trainer.accelerator=cpu")
ENTRY_POINT = "[rnn_lab]\ntagger = conll_tagger\n"
PLAIN = ("--model=plain.Plain", "--data=plain.PlainData", "--trainer.max_epochs=3", *RUN)

pytestmark = pytest.mark.slow


def rnn_lab(*args, **environment):
    """Run the command in a separate process, as an installed script: not from this folder."""
    start = "import sys; from rnn_lab.__main__ import main; sys.exit(main())"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("RNN_LAB_")}
    return subprocess.run(
        [sys.executable, "-P", "-c", start, *map(str, args)],
        env=inherited | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def succeed(done):
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A working directory with a user package and data."""
    shutil.copytree(HERE / "conll_tagger", tmp_path / "conll_tagger")
    shutil.copy(HERE / "plain.py", tmp_path)
    rng = random.Random(0)
    for name, count in (("train", 200), ("test", 50)):
        lines = []
        for _ in range(count):
            words = [rng.choice("abcdef") for _ in range(rng.randint(2, 7))]
            # The tag of a word depends on the word after it.
            tags = ["VOWEL" if word in "ae" else "OTHER" for word in [*words[1:], "end"]]
            lines += [f"{word} {tag}" for word, tag in zip(words, tags, strict=True)]
            lines.append("")
        (tmp_path / f"{name}.conll").write_text("\n".join(lines))
    (tmp_path / "new.txt").write_text("b a c\n\nd e\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tagger(work):
    files = ("--data.train=train.conll", "--data.valid=test.conll", "--data.test=test.conll")
    options = ("--trainer.max_epochs=6", "--model.optimizer=Adam", "--model.optimizer.lr=0.02")
    succeed(rnn_lab("fit", *TAGGER, *files, *options, *RUN, "--test=true"))
    return "runs/e/n/checkpoints/best.ckpt"


def test_a_task_of_a_user_package_is_trained_tested_and_predicts(work, tagger):
    with open("runs/e/n/metrics.csv", newline="") as file:
        tested = [float(row["test/accuracy"]) for row in csv.DictReader(file) if row["test/loss"]]
    assert tested[-1] > 0.95
    assert Path("runs/e/n/tag_errors.csv").read_text().startswith("tag,predicted,count")
    allowed = {"RNN_LAB_ALLOW": "conll_tagger"}
    succeed(rnn_lab("test", "--ckpt_path", tagger, "--data.test=test.conll", **allowed))
    done = succeed(rnn_lab("predict", "--ckpt_path", tagger, "--input=new.txt", **allowed))
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["text"] for answer in answers] == ["b a c", "", "d e"]
    assert [answer["tags"] for answer in answers] == ["VOWEL OTHER OTHER", "", "VOWEL OTHER"]
    shown = ("--ckpt_path", tagger, "--input=new.txt", "--format=csv")
    table = succeed(rnn_lab("predict", *shown, **allowed)).stdout.splitlines()
    assert table[:2] == ["text,tags", "b a c,VOWEL OTHER OTHER"]


def test_a_predictor_that_does_not_exist_is_reported(work, tagger):
    source = work / "conll_tagger" / "model.py"
    source.write_text(source.read_text().replace("predictor.TagPredictor", "predictor.Absent"))
    ask = ("predict", "--ckpt_path", tagger, "--input=new.txt")
    done = rnn_lab(*ask, RNN_LAB_ALLOW="conll_tagger")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "predictor.Absent of WordTagger cannot be imported" in done.stderr


def test_a_checkpoint_alone_does_not_import_a_package_that_is_not_allowed(work, tagger):
    done = rnn_lab("test", "--ckpt_path", tagger, "--data.test=test.conll")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "set RNN_LAB_ALLOW=conll_tagger" in line
    typed = ("--data=conll_tagger.ConllFiles", "--data.test=test.conll")
    succeed(rnn_lab("test", "--ckpt_path", tagger, *typed))


def test_an_installed_plugin_is_trusted_and_has_short_names(work, tagger, tmp_path):
    info = work / "site" / "conll_tagger-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: conll_tagger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINT)
    shutil.move(work / "conll_tagger", work / "site" / "conll_tagger")
    installed = {"PYTHONPATH": str(work / "site")}
    succeed(rnn_lab("test", "--ckpt_path", tagger, "--data.test=test.conll", **installed))
    short = ("--model=WordTagger", "--data=ConllFiles", "--data.train=train.conll")
    once = ("--data.valid=test.conll", "--trainer.fast_dev_run=1", "--trainer.accelerator=cpu")
    succeed(rnn_lab("fit", *short, *once, **installed))
    listed = succeed(rnn_lab("list", **installed)).stdout
    assert "tagger  conll_tagger: A task in a separate package" in listed


def test_an_error_in_a_user_package_is_one_line(work):
    done = rnn_lab("fit", "--model=conll_tagger.Absent", "--data=conll_tagger.ConllFiles")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "conll_tagger.Absent cannot be imported" in line
    done = rnn_lab("fit", "--model=plain.PlainData", "--data=plain.PlainData")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "--model=plain.PlainData is not a LightningModule" in done.stderr
    done = rnn_lab("fit", "--model=rnn_lab.Task", "--data=plain.PlainData")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "is abstract: it does not define configure_metrics, step" in done.stderr
    done = rnn_lab("fit", *TAGGER, "--model.vocab_size=3")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "vocab_size is set by the data" in done.stderr
    (work / "bad.conll").write_text("a b c\n")
    done = rnn_lab("fit", *TAGGER, "--data.train=bad.conll", "--data.valid=bad.conll", *RUN)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "bad.conll line 1 has 3 columns, expected 2" in done.stderr


def weights(path):
    return torch.load(path, weights_only=True)["state_dict"]


def test_plain_lightning_classes_are_trained_interrupted_resumed_and_tested(work):
    succeed(rnn_lab("fit", *PLAIN, "--experiment=whole"))
    done = rnn_lab("fit", *PLAIN, SIGNAL_AT_STEP="11")
    assert done.returncode == 128 + 15
    last = "runs/e/n/checkpoints/last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 16  # the end of that epoch
    assert "runs can only be resumed at epoch ends" in done.stderr
    succeed(rnn_lab("fit", *PLAIN, "--ckpt_path=last"))
    uninterrupted = weights("runs/whole/n/checkpoints/last.ckpt")
    torch.testing.assert_close(weights(last), uninterrupted, atol=0, rtol=0)
    done = rnn_lab("test", "--ckpt_path", last, RNN_LAB_ALLOW="plain")
    assert "test_loss" in succeed(done).stdout
    done = rnn_lab("predict", "--ckpt_path", last, "--input=new.txt", RNN_LAB_ALLOW="plain")
    assert done.returncode == 1
    assert "was saved by Plain, a plain LightningModule: only a Task" in done.stderr


def test_plain_classes_are_monitored_by_the_metric_in_the_options(work):
    chosen = ("--checkpoint.monitor=val_loss", "--checkpoint.mode=min")
    stopping = ("--early_stopping.monitor=val_loss", "--early_stopping.patience=1")
    stopping = (*stopping, "--early_stopping.patience_steps=0")
    still = ("--model.rate=0", "--trainer.max_epochs=9")
    succeed(rnn_lab("fit", *PLAIN, *chosen, *stopping, *still))
    assert torch.load("runs/e/n/checkpoints/last.ckpt", weights_only=True)["epoch"] == 1
