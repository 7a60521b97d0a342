"""What the Trainer costs: a step of `rnn-lab fit` on the SST-2 config over a step of a bare loop.

    RNN_LAB_DATA=... python tests/benchmarks/trainer_overhead.py [--steps N] [--rounds N]

`rnn-lab fit` runs as always, with its checkpoints, monitors, NaN watch and metrics.csv. The bare
loop has the same model, batches, fused Adam, clipping and schedule, and nothing else. A step lasts
from one batch to the next; start-up, warm-up, validation and checkpoints are not counted. The two
take turns, each time in a process of its own, and must end with the same loss. Of each step the
median over the rounds counts, so that steps that log have their part.
"""

import argparse
import json
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
from rnn_lab.datamodules import SST2
from rnn_lab.models import TextClassifier
from rnn_lab.training import CosineDecay

CONFIG = "configs/text_classification/sst2.yaml"
LIMIT = 1.15
WARM_UP = 20  # steps that are not timed
SEED = 42


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


def fit(steps: int) -> tuple[list[float], float]:
    """Train by the command line: when each step began, and the last loss."""
    with tempfile.TemporaryDirectory(prefix="rnn-lab-") as folder:
        words = [
            *("fit", "-c", CONFIG, "--trainer.callbacks+=__main__.Clock"),
            *("--trainer.max_epochs=1", f"--trainer.limit_train_batches={steps}"),
            *("--trainer.accelerator=cpu", f"--trainer.default_root_dir={folder}"),
            f"--seed_everything={SEED}",
        ]
        if rnn_lab(words):
            sys.exit("the training failed")
    return Clock.begins, float(Clock.loss)


def bare(steps: int) -> tuple[list[float], float]:
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
    begins: list[float] = []
    model.train()
    for batch in data.train_dataloader():
        begins.append(time.perf_counter())
        if len(begins) == 1:
            torch.manual_seed(SEED)
        loss = model.step(batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
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
    """Measure both in turns; print milliseconds per step and whether the limit holds."""
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
    ours, theirs = (
        statistics.mean(map(statistics.median, zip(*times[way], strict=True))) for way in WAYS
    )
    print("| | ms a step |\n| - | - |")
    print(f"| rnn-lab fit | {ours:.2f} |\n| bare loop | {theirs:.2f} |\n")
    ratio = ours / theirs
    print(f"ratio {ratio:.3f}, {'within' if ratio <= LIMIT else 'OVER'} the limit of {LIMIT}")
    return ratio <= LIMIT and len(losses) == 1


WAYS = {"fit": fit, "bare": bare}


def main() -> None:
    """Run one way, or both in turns."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=200, help="timed steps of a round")
    parser.add_argument("--rounds", type=int, default=5, help="times that each takes its turn")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(WAYS[options.way](options.steps)))
    else:
        sys.exit(not report(options.steps, options.rounds))


if __name__ == "__main__":
    main()
