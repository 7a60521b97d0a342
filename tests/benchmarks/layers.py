"""Compare recurrent layers on three tasks with an equal time budget: accuracy and speed.

    python tests/benchmarks/layers.py [LAYER ...] [--tasks sst2 trec etth1] [--seeds 1 2 3]

Every run has the same sizes, optimizer and learning rate, and trains for the same CPU time
(`rnn_lab.training.TimeBudget`: one minute for text, two for time series) on one thread. For text
the best checkpoint on the validation split is tested, for time series the last one. No layer was
tuned: the learning rates are those of the LSTM configs in `configs`. Runs are stored in
`runs/layers`; finished runs are skipped, and interrupted ones resume from their last checkpoint.
Needs `RNN_LAB_DATA` or a network.
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


class Benchmark(NamedTuple):
    """A task: arguments of the command line, time budget and test metric."""

    title: str
    arguments: tuple[str, ...]
    batch_size: int
    minutes: float
    metric: str


TEXT = (
    *("--model=TextClassifier", "--model.embedding_dim=128", "--model.hidden_dim=128"),
    *("--model.bidirectional=true", "--model.pooling=max", "--model.dropouts.embedding=0.4"),
    *("--model.dropouts.word=0.1", "--model.initialization.embedding_std=0.1"),
)
TASKS = {
    "sst2": Benchmark(
        "SST-2, accuracy",
        (*TEXT, "--model.optimizer.lr=0.001", "--data=SST2", "--data.tokenizer.min_freq=2"),
        32,
        1.0,
        "accuracy",
    ),
    "trec": Benchmark(
        "TREC, accuracy",
        (*TEXT, "--model.optimizer.lr=0.002", "--data=TREC", "--data.tokenizer.min_freq=2"),
        64,
        1.0,
        "accuracy",
    ),
    "etth1": Benchmark(
        "ETTh1 96 to 96, MSE",
        (
            *("--model=Forecaster", "--model.hidden_dim=64", "--model.dropouts.head=0.5"),
            *("--model.optimizer.lr=0.005", "--data=ETTh1"),
            *("--checkpoint.monitor=epoch", "--checkpoint.mode=max"),
            "--trainer.limit_val_batches=5",  # validation does not select a checkpoint
        ),
        64,
        2.0,
        "mse",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Train what is missing and print the tables; return 1 if a run failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("layers", nargs="*", default=LAYERS, metavar="LAYER")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    args = parser.parse_args(argv)
    os.environ["OMP_NUM_THREADS"] = "1"
    failed = False
    for task in args.tasks:
        print(f"| {TASKS[task].title} | Each seed | Mean | Parameters | Examples/s | Epochs |")
        print("| --- " * 6 + "|")
        for layer in args.layers:
            results = [result(task, layer, seed) for seed in args.seeds]
            failed |= None in results
            print(row(layer, TASKS[task], [each for each in results if each]), flush=True)
        print()
    return int(failed)


def row(layer: str, task: Benchmark, results: Sequence[dict]) -> str:
    """Format a row of a table: score of each seed, their mean, size and speed."""
    if not results:
        return f"| {layer} | failed | | | | |"
    scale, digits = (100, 2) if task.metric == "accuracy" else (1, 3)
    scores = [scale * one["score"] for one in results]
    cells = [
        layer,
        " ".join(f"{score:.{digits}f}" for score in scores),
        f"**{statistics.mean(scores):.{digits}f}**",
        f"{results[0]['parameters']:,}",
        f"{statistics.median(one['examples_per_second'] for one in results):,.0f}",
        f"{statistics.median(one['epochs'] for one in results):.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def result(task: str, layer: str, seed: int) -> dict | None:
    """Load a saved result, or train, test and save it; return None if the run failed."""
    name = f"{task}-{layer}-{seed}"
    path = RUNS / f"{name}.json"
    if path.exists():
        return json.loads(path.read_text())
    benchmark = TASKS[task]
    command = [
        *(sys.executable, "-m", "rnn_lab", "fit", *benchmark.arguments, f"--model.layer={layer}"),
        *(f"--seed_everything={seed}", f"--data.batch_size={benchmark.batch_size}"),
        *("--trainer.callbacks+=rnn_lab.training.TimeBudget",),
        *(f"--trainer.callbacks.minutes={benchmark.minutes}", "--trainer.max_epochs=-1"),
        "--early_stopping.patience=9999",
        *("--trainer.accelerator=cpu", "--test=true", "--ckpt_path=last"),
        *("--experiment=layers", f"--name={name}"),
    ]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        print(f"{name}: {process.stderr.strip()[-2000:]}", file=sys.stderr)
        return None
    result = read(RUNS / name, benchmark)
    path.write_text(json.dumps(result))
    return result


def read(folder: Path, benchmark: Benchmark) -> dict:
    """Read the test score of a run, and steps and time from its last checkpoint."""
    last = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    seconds = last["callbacks"]["TimeBudget"]["spent"]
    loop = last["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    total, current = loop["total"]["completed"], loop["current"]["completed"]
    epochs = last["epoch"]  # finished epochs
    steps_per_epoch = (total - current) / epochs if epochs else float("nan")
    with open(folder / "metrics.csv", newline="") as file:
        last_row = list(csv.DictReader(file))[-1]
    return {
        "score": float(last_row[f"test/{benchmark.metric}"]),
        "parameters": sum(weight.numel() for weight in last["state_dict"].values()),
        "examples_per_second": total * benchmark.batch_size / seconds,
        "epochs": total / steps_per_epoch,
        "steps": total,
        "seconds": seconds,
    }


if __name__ == "__main__":
    sys.exit(main())
