"""What tests of the command line share: tiny generated data, and how a command is run."""

import csv
from pathlib import Path

import yaml

from rnn_lab.__main__ import main

TINY = [
    *("--data.train_size=48", "--data.valid_size=16", "--data.test_size=24"),
    *("--data.batch_size=16", "--trainer.max_epochs=1", "--trainer.accelerator=cpu"),
]
REVIEWS = ["--model=LSTMClassifier", "--data=SyntheticReviews", *TINY]
SIZES = ["--model.embedding_dim=8", "--model.hidden_dim=8"]
OWN = "label,text\n" + "".join(f"positive,fine {i}\nnegative,dull {i}\n" for i in range(20))
RUN = Path("runs/SyntheticReviews/a")
BEST = str(RUN / "checkpoints/best.ckpt")


def run(*args):
    return main([str(arg) for arg in args])


def error_of(capsys, *args):
    """Return the error message, of one line, of a command that fails."""
    try:
        status = run(*args)
    except SystemExit as stop:
        status = stop.code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("rnn-lab:")]
    assert status in (1, 2)
    assert len(lines) == 1
    return lines[0]


def rows(name="metrics.csv"):
    with open(RUN / name, newline="") as file:
        return list(csv.DictReader(file))


def resolved(name="config.yaml"):
    return yaml.safe_load((RUN / name).read_text())
