"""Train recurrent layers at equal cost on three tasks, and print how well and how fast they learn.

    python tests/benchmarks/layers.py [LAYER ...] [--tasks sst2 trec etth1] [--seeds 1 2 3]

Every run has the same sizes, optimizer and learning rate, and trains for the same processor time
(`rnn_lab.training.TimeBudget`: a minute of sentences, two of series) on one thread. The epoch that
is best on the validation split of sentences is tested, of series the last weights. Nothing was
tuned for a layer: the rates are those of the LSTM's recipes in `configs`. Runs lie in
`runs/layers`; what is finished is not run again, and a run that was interrupted goes on from its
last checkpoint. Needs `RNN_LAB_DATA` or a network.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

RUNS = Path("runs/layers")
LAYERS = ("RNN", "LSTM", "GRU", "LayerNormLSTM", "QRNN", "MinGRU", "RGLRU")


class Contest(NamedTuple):
    """A task: what trains on what, for how long, and the metric of its test."""

    title: str
    words: tuple[str, ...]
    batch_size: int
    minutes: float
    metric: str


TEXT = (
    *("--model=TextClassifier", "--model.embedding_dim=128", "--model.hidden_dim=128"),
    *("--model.bidirectional=true", "--model.pooling=max", "--model.dropouts.embedding=0.4"),
    *("--model.dropouts.word=0.1", "--model.initialization.embedding_std=0.1"),
)
TASKS = {
    "sst2": Contest(
        "SST-2, accuracy",
        (*TEXT, "--model.optimizer.lr=0.001", "--data=SST2", "--data.tokenizer.min_freq=2"),
        32,
        1.0,
        "accuracy",
    ),
    "trec": Contest(
        "TREC, accuracy",
        (*TEXT, "--model.optimizer.lr=0.002", "--data=TREC", "--data.tokenizer.min_freq=2"),
        64,
        1.0,
        "accuracy",
    ),
    "etth1": Contest(
        "ETTh1 96 to 96, MSE",
        (
            *("--model=Forecaster", "--model.hidden_dim=64", "--model.dropouts.head=0.5"),
            *("--model.optimizer.lr=0.005", "--data=ETTh1"),
            *("--checkpoint.monitor=epoch", "--checkpoint.mode=max"),
            "--trainer.limit_val_batches=5",  # a glance: nothing is chosen by it
        ),
        64,
        2.0,
        "mse",
    ),
}


def main(words: Sequence[str] | None = None) -> int:
    """Train what is missing and print the tables; 1 if a run failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("layers", nargs="*", default=LAYERS, metavar="LAYER")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    args = parser.parse_args(words)
    os.environ["OMP_NUM_THREADS"] = "1"
    failed = False
    for task in args.tasks:
        print(f"| {TASKS[task].title} | Each seed | Mean | Parameters | Examples/s | Epochs |")
        print("| --- " * 6 + "|")
        for layer in args.layers:
            found = [result(task, layer, seed) for seed in args.seeds]
            failed |= None in found
            print(row(layer, TASKS[task], [each for each in found if each]), flush=True)
        print()
    return int(failed)


def row(layer: str, task: Contest, found: Sequence[dict]) -> str:
    """One row of a table: each seed and the mean, size and speed."""
    if not found:
        return f"| {layer} | failed | | | | |"
    scale, digits = (100, 2) if task.metric == "accuracy" else (1, 3)
    each = [scale * one["score"] for one in found]
    cells = [
        layer,
        " ".join(f"{score:.{digits}f}" for score in each),
        f"**{statistics.mean(each):.{digits}f}**",
        f"{found[0]['parameters']:,}",
        f"{statistics.median(one['examples_per_second'] for one in found):,.0f}",
        f"{statistics.median(one['epochs'] for one in found):.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def result(task: str, layer: str, seed: int) -> dict | None:
    """Take a result from its file, or train, test and write it there; None if a run failed."""
    name = f"{task}-{layer}-{seed}"
    path = RUNS / f"{name}.json"
    if path.exists():
        return json.loads(path.read_text())
    contest = TASKS[task]
    command = [
        *(sys.executable, "-m", "rnn_lab", "fit", *contest.words, f"--model.layer={layer}"),
        *(f"--seed_everything={seed}", f"--data.batch_size={contest.batch_size}"),
        *("--trainer.callbacks+=rnn_lab.training.TimeBudget",),
        *(f"--trainer.callbacks.minutes={contest.minutes}", "--trainer.max_epochs=-1"),
        "--early_stopping.patience=9999",
        *("--trainer.accelerator=cpu", "--test=true", "--ckpt_path=last"),
        *("--experiment=layers", f"--name={name}"),
    ]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        print(f"{name}: {finished.stderr.strip()[-2000:]}", file=sys.stderr)
        return None
    found = read(RUNS / name, contest)
    path.write_text(json.dumps(found))
    return found


def read(folder: Path, contest: Contest) -> dict:
    """Read what a run reached, and from its last checkpoint how many steps it took."""
    last = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    spent = last["callbacks"]["TimeBudget"]["spent"]
    loop = last["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    total, here = loop["total"]["completed"], loop["current"]["completed"]
    whole = last["epoch"]  # epochs before this one
    steps_of_an_epoch = (total - here) / whole if whole else float("nan")
    with open(folder / "metrics.csv", newline="") as file:
        tested = list(csv.DictReader(file))[-1]
    return {
        "score": float(tested[f"test/{contest.metric}"]),
        "parameters": sum(weight.numel() for weight in last["state_dict"].values()),
        "examples_per_second": total * contest.batch_size / spent,
        "epochs": total / steps_of_an_epoch,
        "steps": total,
        "seconds": spent,
    }


if __name__ == "__main__":
    sys.exit(main())
