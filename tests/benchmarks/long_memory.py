"""Train every recurrent layer on tasks of long memory, and print what each of them solves.

    python tests/benchmarks/long_memory.py [LAYER ...] [--tasks ...] [--minutes 2.5] [--seed 1]
    python tests/benchmarks/long_memory.py gradients [LAYER ...]

A run stops when its task is solved: a mean squared error below 0.01 of the adding problem (saying
1 always has 0.167), more than 99 % of the copied symbols right (guessing has 12.5 %). It is looked
at every 100 steps. Runs lie in `runs/long_memory`; what is finished is not run again, and a run
that was interrupted goes on from its last checkpoint. All layers have the sizes and the optimizer
of the three configs, and the same budget of processor time: who is fast takes more steps. Only
`IndRNN` is told how long the rows are (its `max_seq_len`), as by its authors: it diverges without.

`gradients` prints which share of the gradient of the last output is left at an input some steps
before it, at starting weights, and draws it as `runs/long_memory/gradients.png`.
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


class Puzzle(NamedTuple):
    """A task: its config and length, the metric that tells when it is solved, from where on."""

    title: str
    config: str
    length: int
    metric: str
    solved: float


TASKS = {
    "adding-200": Puzzle("adding, 200", "regression/adding_problem", 200, "mse", 0.01),
    "adding-1000": Puzzle("adding, 1,000", "regression/adding_problem_1000", 1000, "mse", 0.01),
    "copy-100": Puzzle("copying, 100", "tagging/copy_memory", 120, "accuracy_nonblank", 0.99),
}


def main(words: Sequence[str] | None = None) -> int:
    """Train what is missing and print the table; 1 if a run failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("layers", nargs="*", metavar="LAYER", help="of rnn_lab.nn.LAYERS; or all")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--minutes", type=float, default=2.5, help="budget of a run")
    parser.add_argument("--steps", type=int, default=10_000, help="a run ends after so many, too")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(words)
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
    """One row of the table: steps and seconds until each task was solved."""
    sizes = sorted({each["parameters"] for each in results if each})
    cells = [layer, " / ".join(f"{size:,}" for size in sizes)]
    for task, each in zip(tasks, results, strict=True):
        cells += ["failed", ""] if each is None else [said(TASKS[task], each), seconds(each)]
    return f"| {' | '.join(cells)} |"


def seconds(found: dict) -> str:
    """How long a run took."""
    return f"{found['seconds']:.0f}"


def said(puzzle: Puzzle, found: dict) -> str:
    """After how many steps a task was solved, or how far it got."""
    if found["solved"]:
        return f"**{found['steps']:,}**"
    best = found["best"]
    share = f"mse {best:.3f}" if puzzle.metric == "mse" else f"{best:.0%} right"
    return f"not in {found['steps']:,}: {share}"


def result(task: str, layer: str, args: argparse.Namespace) -> dict | None:
    """Take a result from its file, or train and write it there; None if training failed."""
    name = f"{task}-{layer}-{args.seed}"
    path = RUNS / f"{name}.json"
    if path.exists():
        return json.loads(path.read_text())
    longest = json.dumps({"max_seq_len": TASKS[task].length})
    command = [
        *(sys.executable, "-m", "rnn_lab", "fit", "-c", f"configs/{TASKS[task].config}.yaml"),
        *([f"--model.layer_kwargs={longest}"] if layer == "IndRNN" else []),
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
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        print(f"{name}: {finished.stderr.strip()[-2000:]}", file=sys.stderr)
        return None
    found = read(RUNS / name, TASKS[task])
    path.write_text(json.dumps(found))
    return found


def read(folder: Path, puzzle: Puzzle) -> dict:
    """Read what a run reached, and from its last checkpoint the steps and seconds it took.

    Lightning ends the first epoch whatever the budget, so there is a validation.
    """
    with open(folder / "metrics.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    reached = [float(v) for line in lines if (v := line.get(f"val/{puzzle.metric}"))]
    few = puzzle.metric == "mse"
    best = min(reached) if few else max(reached)
    last = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    return {
        "solved": best < puzzle.solved if few else best > puzzle.solved,
        "best": best,
        "steps": last["global_step"],
        "seconds": last["callbacks"]["TimeBudget"]["spent"],
        "parameters": sum(weight.numel() for weight in last["state_dict"].values()),
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }


def gradients(layers: Sequence[str], seed: int, size: int = 64, draws: int = 5) -> None:
    """Print and draw which share of the gradient is left at each distance."""
    from rnn_lab.nn.diagnostics import gradient_by_distance
    from rnn_lab.training.plots import plot_gradient_decay as drawn

    curves = {}
    print(f"| Steps before | {' | '.join(map(str, DISTANCES))} |")
    print("| --- " * (1 + len(DISTANCES)) + "|")
    for name in layers:
        found = []
        for draw in range(draws):
            torch.manual_seed(seed + draw)
            layer = build_layer(name, size, size)
            found.append(gradient_by_distance(layer, size, 1 + max(DISTANCES), seed=seed + draw))
        logs = torch.stack(found).clamp_min(torch.finfo(torch.double).tiny).log().mean(0)
        curves[name] = logs.exp().numpy()
        cells = [f"{curves[name][distance]:.0e}" for distance in DISTANCES]
        print(f"| {name} | {' | '.join(cells)} |")
    RUNS.mkdir(parents=True, exist_ok=True)
    drawn(curves).savefig(RUNS / "gradients.png")


if __name__ == "__main__":
    sys.exit(main())
