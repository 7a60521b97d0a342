"""Train translators of Multi30k, English to German, and print the README's tables.

    python tests/benchmarks/translation.py [record] [positions] [--seeds 1 2 3]

`record` trains `configs/translation/multi30k.yaml` with each seed, and once the same model without
attention. `positions` trains the three places of attention at equal size for ten minutes each, with
one seed. What is selected is selected on the validation split; the test is translated once. Runs
are in `runs/translation`; what is finished is not run again, and a training of `record` that was
interrupted resumes from its last checkpoint. Needs `RNN_LAB_DATA` or a network. Two of these
commands on two cores go well together, each with `OMP_NUM_THREADS=1`.
"""

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = Path("runs/translation")
CONFIG = ["-c", "configs/translation/multi30k.yaml"]
POSITIONS = {
    "between": ["--model.attention_position=between"],
    "before": ["--model.attention_position=before"],
    "after": ["--model.attention_position=after"],
}
BUDGET = ["--trainer.max_time=00:00:10:00", "--trainer.max_epochs=1000"]


def main() -> None:
    """Train what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tables", nargs="*", default=["record", "positions"], metavar="TABLE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    args = parser.parse_args()
    if "record" in args.tables:
        print_record(args.seeds)
    if "positions" in args.tables:
        print_positions()


def print_record(seeds: list[int]) -> None:
    """Test scores of the shipped config, and of the same model without attention."""
    header = "BLEU, tokenized, each seed | Mean | BLEU 13a | chrF | TER | Perplexity | Minutes"
    print(f"| Model | {header} |\n" + "| --- " * 8 + "|")
    for name, words, chosen in (
        ("multi30k", [], seeds),
        ("none", ["--model.attention_position=none"], seeds[:1]),
    ):
        runs = [trained(f"{name}-{seed}", seed, words) for seed in chosen]
        each = " ".join(f"{run['bleu_tokenized']:.2f}" for run in runs)
        means = [
            statistics.mean(run[key] for run in runs)
            for key in ("bleu_tokenized", "bleu", "chrf", "ter", "perplexity", "minutes")
        ]
        label = "`configs/translation/multi30k.yaml`" if not words else "the same without attention"
        cells = [f"{means[0]:.2f}", *(f"{mean:.1f}" for mean in means[1:])]
        print(f"| {label} | {each} | {' | '.join(cells)} |", flush=True)
        print(f"  signature of 13a: {runs[0]['signature']}", file=sys.stderr)


def print_positions() -> None:
    """Scores of each place of attention after equal time, and how fast it trains."""
    print("\n| Attention | Parameters | Epochs | BLEU, tokenized | Target words/s in training |")
    print("| --- " * 5 + "|")
    for name, words in POSITIONS.items():
        run = trained(name, 1, [*words, *BUDGET])
        cells = f"{run['bleu_tokenized']:.2f} | {run['speed']:,.0f}"
        print(f"| {name} | {run['parameters']:,} | {run['epochs']} | {cells} |", flush=True)


def trained(name: str, seed: int, words: list[str]) -> dict:
    """Take a result from its file, or train, test and write it there."""
    path, folder = RUNS / f"{name}.json", RUNS / name
    if path.exists():
        return json.loads(path.read_text())
    timed = "--trainer.max_time=00:00:10:00" in words
    if timed and folder.exists():
        shutil.rmtree(folder)  # half of ten minutes is not worth going on from
    command = [
        *(sys.executable, "-m", "rnn_lab", "fit", *CONFIG, "--test=true", *words),
        *(f"--seed_everything={seed}", "--experiment=translation", f"--name={name}"),
        *([] if timed else ["--ckpt_path=last"]),
    ]
    clock = RUNS / f"{name}.minutes"  # of all tries together
    spent = float(clock.read_text()) if clock.exists() and not timed else 0.0
    started = time.monotonic()
    try:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    finally:
        RUNS.mkdir(parents=True, exist_ok=True)
        clock.write_text(str(spent + (time.monotonic() - started) / 60))
    result = read(folder) | {
        "minutes": float(clock.read_text()),
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }
    path.write_text(json.dumps(result))
    return result


def read(folder: Path) -> dict:
    """Read what a run measured."""
    import torch

    scores = json.loads((folder / "scores.json").read_text())
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    speeds = [float(r["train/targets_per_second"]) for r in rows if r["train/targets_per_second"]]
    weights = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    shared = {value.data_ptr(): value.numel() for value in weights.values()}  # tied ones once
    return scores["scores"] | {
        "signature": scores["signatures"]["bleu"],
        "speed": statistics.median(speeds),
        "epochs": len([row for row in rows if row["val/bleu"]]),
        "validation": max(float(row["val/bleu"]) for row in rows if row["val/bleu"]),
        "parameters": sum(shared.values()),
    }


if __name__ == "__main__":
    main()
