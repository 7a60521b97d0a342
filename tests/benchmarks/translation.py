"""Train translators of Multi30k, English to German, and print the tables of the site.

    python tests/benchmarks/translation.py [record] [positions] [--seeds 1 2 3]

`record` trains `configs/translation/multi30k.yaml` with each seed, and once the same model without
attention. `positions` trains the three positions of attention at equal size for ten minutes each,
with one seed. Models are selected on the validation split; the test split is translated once. Runs
are in `runs/translation`; finished runs are not repeated, and an interrupted training of `record`
resumes from its last checkpoint. Needs `RNN_LAB_DATA` or a network. Two of these commands can run
at once on two cores, each with `OMP_NUM_THREADS=1`.
"""

import argparse
import csv
import json
import os
import statistics
import sys
from pathlib import Path

from timed_fit import fit

RUNS = Path("runs/translation")
CONFIG = ["-c", "configs/translation/multi30k.yaml"]
POSITIONS = {
    "between": ["--model.decoder.attention_position=between"],
    "before": ["--model.decoder.attention_position=before"],
    "after": ["--model.decoder.attention_position=after"],
}
BUDGET = ["--trainer.max_time=00:00:10:00", "--trainer.max_epochs=1000"]


def main() -> None:
    """Train models without results, then print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tables", nargs="*", default=["record", "positions"], metavar="TABLE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    args = parser.parse_args()
    if "record" in args.tables:
        print_record(args.seeds)
    if "positions" in args.tables:
        print_positions()


def print_record(seeds: list[int]) -> None:
    """Print test scores of the shipped config and of the same model without attention."""
    header = "BLEU, tokenized, each seed | Mean | BLEU 13a | chrF | TER | Perplexity | Minutes"
    print(f"| Model | {header} |\n" + "| --- " * 8 + "|")
    for name, options, used_seeds in (
        ("multi30k", [], seeds),
        ("none", ["--model.decoder.attention_position=none"], seeds[:1]),
    ):
        runs = [trained(f"{name}-{seed}", seed, options) for seed in used_seeds]
        each = " ".join(f"{run['bleu_tokenized']:.2f}" for run in runs)
        means = [
            statistics.mean(run[key] for run in runs)
            for key in ("bleu_tokenized", "bleu", "chrf", "ter", "perplexity", "minutes")
        ]
        label = "the same without attention" if options else f"`{CONFIG[1]}`"
        cells = [f"{means[0]:.2f}", *(f"{mean:.1f}" for mean in means[1:])]
        print(f"| {label} | {each} | {' | '.join(cells)} |", flush=True)
        print(f"  signature of 13a: {runs[0]['signature']}", file=sys.stderr)


def print_positions() -> None:
    """Print scores of each position of attention after equal time, and the training speed."""
    print("\n| Attention | Parameters | Epochs | BLEU, tokenized | Target tokens/s in training |")
    print("| --- " * 5 + "|")
    for name, options in POSITIONS.items():
        run = trained(name, 1, [*options, *BUDGET])
        cells = f"{run['bleu_tokenized']:.2f} | {run['speed']:,.0f}"
        print(f"| {name} | {run['parameters']:,} | {run['epochs']} | {cells} |", flush=True)


def trained(name: str, seed: int, options: list[str]) -> dict:
    """Read a result from its file, or train, test and write it."""
    path, folder = RUNS / f"{name}.json", RUNS / name
    if path.exists():
        return json.loads(path.read_text())
    # A run of ten minutes is repeated instead of resumed.
    minutes = fit([*CONFIG, *options], RUNS.name, name, seed, resume=BUDGET[0] not in options)
    threads = os.environ.get("OMP_NUM_THREADS")
    result = read(folder) | {"minutes": minutes, "threads": threads}
    path.write_text(json.dumps(result))
    return result


def read(folder: Path) -> dict:
    """Read the results of a run."""
    import torch

    scores = json.loads((folder / "scores.json").read_text())
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    speeds = [float(r["train/targets_per_second"]) for r in rows if r["train/targets_per_second"]]
    weights = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    shared = {value.data_ptr(): value.numel() for value in weights.values()}  # tied weights once
    return scores["scores"] | {
        "signature": scores["signatures"]["bleu"],
        "speed": statistics.median(speeds),
        "epochs": len([row for row in rows if row["val/bleu"]]),
        "validation": max(float(row["val/bleu"]) for row in rows if row["val/bleu"]),
        "parameters": sum(shared.values()),
    }


if __name__ == "__main__":
    main()
