"""What the Trainer costs: a step of `rnn-lab fit` on the SST-2 config over a step of a bare loop.

    RNN_LAB_DATA=... python tests/benchmarks/trainer_overhead.py [--steps N] [--rounds N]

`rnn-lab fit` runs as always, with its checkpoints, monitors, NaN watch and metrics.csv. The bare
loop has the same model, batches, fused Adam, clipping and schedule, and nothing else. The config
averages the weights: the first row leaves that out on both sides, in the second the bare loop
averages by torch's `AveragedModel`. A step lasts from one batch to the next; start-up, warm-up,
validation and checkpoints are not counted. The ways take turns, each time in a process of its own,
and must end with the same loss. Of each step the median over the rounds counts, so that steps that
log have their part.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise

import torch
import yaml
from lightning import seed_everything
from lightning.pytorch.callbacks import Callback

from rnn_lab.__main__ import main as rnn_lab
from rnn_lab.data import SST2
from rnn_lab.models import TextClassifier
from rnn_lab.training import CosineDecay

CONFIG = "configs/sst2.yaml"
LIMIT = 1.15
WARM_UP = 20  # steps that are not timed
SEED = 42
WAYS = ("fit", "bare", "fit, averaging", "bare, averaging")


class Clock(Callback):
    """Notes when each step begins, and the loss of the last; draws dropout from the same seed."""

    begins: list[float] = []  # noqa: RUF012  # read after the command line has ended
    loss = torch.nan

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == 0:
            torch.manual_seed(SEED)
        Clock.begins.append(time.perf_counter())

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        Clock.loss = outputs["loss"]


def fit(steps: int, averaging: bool) -> tuple[list[float], float]:
    """Train by the command line: when each step began, and the last loss."""
    with tempfile.TemporaryDirectory(prefix="rnn-lab-") as folder:
        clock = "--trainer.callbacks+=" if averaging else "--trainer.callbacks="
        words = [
            *("fit", "-c", CONFIG, f"{clock}__main__.Clock", f"--seed_everything={SEED}"),
            *("--trainer.max_epochs=1", f"--trainer.limit_train_batches={steps}"),
            *("--trainer.accelerator=cpu", f"--trainer.default_root_dir={folder}"),
        ]
        if rnn_lab(words):
            sys.exit("the training failed")
    return Clock.begins, float(Clock.loss)


def bare(steps: int, averaging: bool) -> tuple[list[float], float]:
    """Train by a bare loop: when each step began, and the last loss."""
    with open(CONFIG, encoding="utf-8") as file:
        config = yaml.safe_load(file)
    seed_everything(SEED, verbose=False)
    data = SST2(**config["data"]["init_args"])
    arguments = config["model"]["init_args"]
    adam = arguments.pop("optimizer")["init_args"]
    del arguments["scheduler"]
    model = TextClassifier(data.vocab_size, num_classes=data.num_classes, **arguments)
    optimizer = torch.optim.Adam(model.parameters(), **adam, fused=True)
    schedule = CosineDecay(optimizer)
    schedule.total_steps = steps
    (ema,) = config["trainer"]["callbacks"]
    average = torch.optim.swa_utils.get_ema_avg_fn(ema["init_args"]["decay"])
    averaged = torch.optim.swa_utils.AveragedModel(model, avg_fn=average, use_buffers=True)
    begins: list[float] = []
    model.train()
    torch.manual_seed(SEED)
    for batch in data.train_dataloader():
        begins.append(time.perf_counter())
        if len(begins) == 1:
            torch.manual_seed(SEED)
        loss = model.score(batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if averaging:
            averaged.update_parameters(model)
        if len(begins) == steps:
            break
    return begins, loss.item()


def in_a_process(way: str, steps: int) -> tuple[list[float], float]:
    """Train one way: milliseconds of each step, and the last loss."""
    command = [sys.executable, __file__, "--way", way, "--steps", str(steps)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    begins, loss = json.loads(result.splitlines()[-1])
    return [1000 * (end - begin) for begin, end in pairwise(begins)][WARM_UP:], loss


def report(steps: int, rounds: int) -> bool:
    """Let the ways take turns, print milliseconds a step, say whether the limit is kept."""
    times: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    losses = set()
    for number in range(rounds):
        for way in WAYS:
            milliseconds, loss = in_a_process(way, steps + WARM_UP + 1)
            times[way].append(milliseconds)
            losses.add(round(loss, 5))
            print(f"round {number + 1}, {way}: {statistics.mean(milliseconds):.2f} ms", flush=True)
    print(f"\nequal last loss: {'yes' if len(losses) == 1 else f'NO, {losses}'}")
    print(f"{steps} steps, {rounds} rounds, {torch.get_num_threads()} threads\n")
    print("| SST-2 config | fit, ms a step | bare loop, ms a step | ratio |\n| - | - | - | - |")
    step = {way: statistics.mean(map(statistics.median, zip(*times[way], strict=True)))
            for way in WAYS}  # fmt: skip
    rows = {"without averaging": WAYS[:2], "as shipped": WAYS[2:]}
    for name, (ours, theirs) in rows.items():
        ratio = step[ours] / step[theirs]
        print(f"| {name} | {step[ours]:.2f} | {step[theirs]:.2f} | {ratio:.3f} |")
    worst = max(step[ours] / step[theirs] for ours, theirs in rows.values())
    print(f"\n{'within' if worst <= LIMIT else 'OVER'} the limit of {LIMIT}")
    return worst <= LIMIT and len(losses) == 1


def main() -> None:
    """Run one way, or all in turns."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=200, help="timed steps of a round")
    parser.add_argument("--rounds", type=int, default=5, help="times that each way takes its turn")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        way, averaging = options.way.split(", ")[0], "averaging" in options.way
        print(json.dumps({"fit": fit, "bare": bare}[way](options.steps, averaging)))
    else:
        sys.exit(not report(options.steps, options.rounds))


if __name__ == "__main__":
    main()
