"""Train the shipped configs on real data with three seeds each, and a linear bar beside each.

    python tests/benchmarks/accuracy.py [NAME ...] [--seeds 1 2 3]

Prints the table of the README. Runs lie in `runs/accuracy/`; what is finished is not run again,
and a training that was interrupted goes on from its last checkpoint. Needs `RNN_LAB_DATA` or a
network. The linear bar is a logistic regression over the presence of words and bigrams, its
regularization chosen on the validation split.
"""

import argparse
import csv
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import yaml

from rnn_lab import datamodules as data

CONFIGS = {"imdb": "IMDB", "sst2": "SST2", "trec": "TREC", "r8": "R8", "mr": "MR"}
RUNS = Path("runs/accuracy")


def main() -> None:
    """Train what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(CONFIGS), metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    args = parser.parse_args()
    print(
        "| Data | Test accuracy, each seed | Mean | Macro F1 | Words + bigrams, linear | Minutes |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for name in args.names:
        runs = [cached(RUNS / f"{name}-{seed}.json", train, name, seed) for seed in args.seeds]
        # Only MR has a split of its own for each seed.
        bars = [
            cached(RUNS / f"{name}-bar-{seed}.json", linear_bar, name, seed)
            for seed in (args.seeds if name == "mr" else [0])
        ]
        print(row(name, runs, bars), flush=True)


def row(name: str, runs: list[dict], bars: list[dict]) -> str:
    """One row of the table, in percent."""
    each = " ".join(f"{100 * run['accuracy']:.2f}" for run in runs)
    mean, f1 = (100 * statistics.mean(run[key] for run in runs) for key in ("accuracy", "f1"))
    bar = 100 * statistics.mean(bar["accuracy"] for bar in bars)
    minutes = statistics.mean(run["seconds"] for run in runs) / 60
    return f"| {CONFIGS[name]} | {each} | {mean:.2f} | {f1:.1f} | {bar:.1f} | {minutes:.1f} |"


def cached(path: Path, work, name: str, seed: int) -> dict:
    """Take a result from its file, or work it out and write it there."""
    if not path.exists():
        result = work(name, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result))
    return json.loads(path.read_text())


def train(name: str, seed: int) -> dict:
    """Train a config, test its best checkpoint, and read its metrics."""
    run = RUNS / f"{name}-{seed}"
    command = [
        *(
            sys.executable,
            "-m",
            "rnn_lab",
            "fit",
            "-c",
            f"configs/text_classification/{name}.yaml",
            "--test=true",
        ),
        *(f"--seed_everything={seed}", "--experiment=accuracy", f"--name={name}-{seed}"),
        "--ckpt_path=last",
    ]
    if name == "mr":
        command.append(f"--data.split_seed={seed}")
    started = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    tested = [row for row in rows if row.get("test/accuracy")][-1]
    return {
        "accuracy": float(tested["test/accuracy"]),
        "f1": float(tested["test/f1"]),
        "validation": max(float(row["val/accuracy"]) for row in rows if row["val/accuracy"]),
        "seconds": seconds,
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }


def linear_bar(name: str, seed: int) -> dict:
    """Fit logistic regressions on the same splits; the best on validation is tested."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    config = yaml.safe_load(Path(f"configs/text_classification/{name}.yaml").read_text())["data"][
        "init_args"
    ]
    split = {"valid_fraction": config.get("valid_fraction", 0.1), "split_seed": seed}
    module = getattr(data, CONFIGS[name])(**split)
    splits = {split: module.split(split) for split in ("train", "valid", "test")}
    words = {
        split: [[str(i) for i in rows.ids[a:b]] for a, b in itertools.pairwise(rows.offsets)]
        for split, rows in splits.items()
    }
    vectorizer = CountVectorizer(analyzer=words_and_bigrams, binary=True)
    features = {"train": vectorizer.fit_transform(words["train"])}
    features |= {split: vectorizer.transform(words[split]) for split in ("valid", "test")}
    models = [
        LogisticRegression(
            C=c, solver="liblinear" if module.num_classes == 2 else "lbfgs", max_iter=1000
        ).fit(features["train"], splits["train"].labels)
        for c in (0.03, 0.1, 0.3, 1.0, 3.0)
    ]
    best = max(models, key=lambda model: model.score(features["valid"], splits["valid"].labels))
    return {"accuracy": best.score(features["test"], splits["test"].labels), "C": best.C}


def words_and_bigrams(words: list[str]) -> list[str]:
    """The words of a text, and each two that follow each other."""
    return [*words, *map(" ".join, itertools.pairwise(words))]


if __name__ == "__main__":
    main()
