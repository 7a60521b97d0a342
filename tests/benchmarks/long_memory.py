"""Train every recurrent layer on long-memory tasks, and print which tasks it solves.

    python tests/benchmarks/long_memory.py [LAYER ...] [--tasks ...] [--minutes 2.5] [--seed 1]
    python tests/benchmarks/long_memory.py gradients [LAYER ...]

A run stops when its task is solved: a mean squared error below 0.01 for the adding problem (always
predicting 1 gives 0.167), an accuracy above 99 % for the copied symbols (chance is 12.5 %).
Validation runs every 100 steps. Runs are stored in `runs/long_memory`; finished runs are skipped,
and interrupted ones resume from their last checkpoint. All layers have the sizes and the optimizer
of the three configs and the same budget of CPU time, so faster layers take more steps. Only
`IndRNN` gets the sequence length (its `max_seq_len`), as in its paper: it diverges without.

`gradients` prints the norm of the gradient of the last output by earlier inputs, relative to the
last input, at initialization, and plots it as `runs/long_memory/gradients.png`.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

import rnn_lab
from rnn_lab.nn import LAYERS, build_layer

RUNS = Path("runs/long_memory")
DISTANCES = (1, 10, 50, 100, 200)
EPOCH = 100  # steps between two validations


class MemoryTask(NamedTuple):
    """A task: config, sequence length, metric, and the threshold at which it is solved."""

    title: str
    config: str
    length: int
    metric: str
    threshold: float


TASKS = {
    "adding-200": MemoryTask("adding, 200", "regression/adding_problem", 200, "mse", 0.01),
    "adding-1000": MemoryTask("adding, 1,000", "regression/adding_problem_1000", 1000, "mse", 0.01),
    "copy-100": MemoryTask("copying, 100", "tagging/copy_memory", 120, "accuracy_nonblank", 0.99),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Train what is missing and print the table; return 1 if a run failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "layers", nargs="*", metavar="LAYER", help="names in rnn_lab.nn.LAYERS; default: all"
    )
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--minutes", type=float, default=2.5, help="time budget of a run")
    parser.add_argument(
        "--steps", type=int, default=10_000, help="maximum number of steps of a run"
    )
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    rnn_lab.configure_cpu()
    if args.layers[:1] == ["gradients"]:
        gradients(args.layers[1:] or ["RNN", "LSTM", "GRU", "MinGRU"], args.seed)
        return 0
    cells = [f"{TASKS[task].title} | seconds" for task in args.tasks]
    print(f"| Layer | Parameters | {' | '.join(cells)} |")
    print("| --- " * (2 + 2 * len(cells)) + "|")
    failed = False
    for layer in args.layers or LAYERS:
        results = [result(task, layer, args) for task in args.tasks]
        print(row(layer, args.tasks, results), flush=True)
        failed |= None in results
    return int(failed)


def row(layer: str, tasks: Sequence[str], results: Sequence[dict | None]) -> str:
    """Format a row of the table: steps and seconds until each task was solved."""
    sizes = sorted({each["parameters"] for each in results if each})
    cells = [layer, " / ".join(f"{size:,}" for size in sizes)]
    for task, each in zip(tasks, results, strict=True):
        cells += (
            ["failed", ""] if each is None else [steps_to_solve(TASKS[task], each), seconds(each)]
        )
    return f"| {' | '.join(cells)} |"


def seconds(result: dict) -> str:
    """Format the training time of a run."""
    return f"{result['seconds']:.0f}"


def steps_to_solve(task: MemoryTask, result: dict) -> str:
    """Format the number of steps until the task was solved, or the best score."""
    if result["solved"]:
        return f"**{result['steps']:,}**"
    best = result["best"]
    score = f"mse {best:.3f}" if task.metric == "mse" else f"{best:.0%} right"
    return f"not in {result['steps']:,}: {score}"


def result(task: str, layer: str, args: argparse.Namespace) -> dict | None:
    """Load a saved result, or train and save it; return None if training failed."""
    name = f"{task}-{layer}-{args.seed}"
    path = RUNS / f"{name}.json"
    if path.exists():
        return json.loads(path.read_text())
    layer_kwargs = json.dumps({"max_seq_len": TASKS[task].length})
    command = [
        *(sys.executable, "-m", "rnn_lab", "fit", "-c", f"configs/{TASKS[task].config}.yaml"),
        *([f"--model.layer_kwargs={layer_kwargs}"] if layer == "IndRNN" else []),
        *(f"--model.layer={layer}", f"--seed_everything={args.seed}", "--ckpt_path=last"),
        *("--experiment=long_memory", f"--name={name}", f"--data.data_seed={args.seed}"),
        *(
            "--trainer.callbacks+=rnn_lab.training.TimeBudget",
            "--trainer.callbacks.anneal_lr=false",
        ),
        f"--trainer.callbacks.minutes={args.minutes}",
        f"--trainer.max_epochs={max(1, args.steps // EPOCH)}",
        "--trainer.accelerator=cpu",
    ]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        print(f"{name}: {process.stderr.strip()[-2000:]}", file=sys.stderr)
        return None
    result = read(RUNS / name, TASKS[task])
    path.write_text(json.dumps(result))
    return result


def read(folder: Path, task: MemoryTask) -> dict:
    """Read the best score of a run, and steps and time from its last checkpoint.

    Lightning finishes the first epoch in any case, so there is at least one validation.
    """
    with open(folder / "metrics.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    scores = [float(v) for line in lines if (v := line.get(f"val/{task.metric}"))]
    lower_is_better = task.metric == "mse"
    best = min(scores) if lower_is_better else max(scores)
    last = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    return {
        "solved": best < task.threshold if lower_is_better else best > task.threshold,
        "best": best,
        "steps": last["global_step"],
        "seconds": last["callbacks"]["TimeBudget"]["spent"],
        "parameters": sum(weight.numel() for weight in last["state_dict"].values()),
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }


def gradients(layers: Sequence[str], seed: int, size: int = 64, num_seeds: int = 5) -> None:
    """Print and plot the gradient norm at each distance."""
    from rnn_lab.nn.diagnostics import gradient_by_distance
    from rnn_lab.training.plots import plot_gradient_decay

    curves = {}
    print(f"| Steps before | {' | '.join(map(str, DISTANCES))} |")
    print("| --- " * (1 + len(DISTANCES)) + "|")
    for name in layers:
        norms = []
        for offset in range(num_seeds):
            torch.manual_seed(seed + offset)
            layer = build_layer(name, size, size)
            time = 1 + max(DISTANCES)
            norms.append(gradient_by_distance(layer, size, time, seed=seed + offset))
        logs = torch.stack(norms).clamp_min(torch.finfo(torch.double).tiny).log().mean(0)
        curves[name] = logs.exp().numpy()
        cells = [f"{curves[name][distance]:.0e}" for distance in DISTANCES]
        print(f"| {name} | {' | '.join(cells)} |")
    RUNS.mkdir(parents=True, exist_ok=True)
    plot_gradient_decay(curves).savefig(RUNS / "gradients.png")


if __name__ == "__main__":
    sys.exit(main())
