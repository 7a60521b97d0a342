"""Train the shipped configs on real data with three seeds each, and linear baselines.

    python tests/benchmarks/accuracy.py [NAME ...] [--seeds 1 2 3]

Prints a table of the site. Runs are in `runs/accuracy/`; finished runs are not repeated, and
interrupted ones resume from their last checkpoint. Needs `RNN_LAB_DATA` or a network. The baseline
is a logistic regression on the presence of words and bigrams, with the regularization chosen on the
validation split.
"""

import argparse
import csv
import itertools
import json
import os
import statistics
from pathlib import Path

import yaml
from timed_fit import fit

from rnn_lab import datamodules as data

CONFIGS = {
    **{"imdb": "IMDB", "sst2": "SST2", "trec": "TREC", "r8": "R8", "mr": "MR"},
    **{"imdb_ngrams": "IMDB", "trec_ngrams": "TREC", "trec_transformer": "TREC"},
}
RUNS = Path("runs/accuracy")


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(CONFIGS), metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    args = parser.parse_args()
    print("| Data | Test accuracy per seed | Mean | Macro F1 | Words + bigrams, linear | Minutes |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in args.names:
        runs = [cached(RUNS / f"{name}-{seed}.json", train, name, seed) for seed in args.seeds]
        # Only MR has a different split for each seed.
        baselines = [
            cached(RUNS / f"{name}-baseline-{seed}.json", linear_baseline, name, seed)
            for seed in (args.seeds if name == "mr" else [0])
        ]
        print(row(name, runs, baselines), flush=True)


def row(name: str, runs: list[dict], baselines: list[dict]) -> str:
    """Return a row of the table, in percent."""
    per_seed = " ".join(f"{100 * run['accuracy']:.2f}" for run in runs)
    mean, f1 = (100 * statistics.mean(run[key] for run in runs) for key in ("accuracy", "f1"))
    baseline = 100 * statistics.mean(result["accuracy"] for result in baselines)
    minutes = statistics.mean(run["minutes"] for run in runs)
    numbers = f"{mean:.2f} | {f1:.1f} | {baseline:.1f} | {minutes:.1f}"
    label = CONFIGS[name] if name == CONFIGS[name].lower() else f"{CONFIGS[name]}, `{name}`"
    return f"| {label} | {per_seed} | {numbers} |"


def cached(path: Path, compute, name: str, seed: int) -> dict:
    """Read a result from its file, or compute and write it."""
    if not path.exists():
        result = compute(name, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result))
    return json.loads(path.read_text())


def train(name: str, seed: int) -> dict:
    """Train a config, test its best checkpoint, and read its metrics."""
    run = RUNS / f"{name}-{seed}"
    options = ["-c", f"configs/text_classification/{name}.yaml"]
    if name == "mr":
        options.append(f"--data.split.seed={seed}")
    minutes = fit(options, RUNS.name, run.name, seed)
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    test = [row for row in rows if row.get("test/accuracy")][-1]
    return {
        "accuracy": float(test["test/accuracy"]),
        "f1": float(test["test/f1"]),
        "validation": max(float(row["val/accuracy"]) for row in rows if row["val/accuracy"]),
        "minutes": minutes,
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }


def linear_baseline(name: str, seed: int) -> dict:
    """Fit logistic regressions on the same splits, and test the best one on validation."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    config = yaml.safe_load(Path(f"configs/text_classification/{name}.yaml").read_text())["data"][
        "init_args"
    ]
    module = getattr(data, CONFIGS[name])(split={**config.get("split", {}), "seed": seed})
    splits = {name: module.split(name) for name in ("train", "valid", "test")}
    words = {
        name: [
            [str(i) for i in rows.ids[0][start:end]]
            for start, end in itertools.pairwise(rows.offsets[0])
        ]
        for name, rows in splits.items()
    }
    vectorizer = CountVectorizer(analyzer=words_and_bigrams, binary=True)
    features = {"train": vectorizer.fit_transform(words["train"])}
    features |= {name: vectorizer.transform(words[name]) for name in ("valid", "test")}
    models = [
        LogisticRegression(
            C=c, solver="liblinear" if module.num_classes == 2 else "lbfgs", max_iter=1000
        ).fit(features["train"], splits["train"].labels)
        for c in (0.03, 0.1, 0.3, 1.0, 3.0)
    ]
    best = max(models, key=lambda model: model.score(features["valid"], splits["valid"].labels))
    return {"accuracy": best.score(features["test"], splits["test"].labels), "C": best.C}


def words_and_bigrams(words: list[str]) -> list[str]:
    """Return the words of a text and its bigrams."""
    return [*words, *map(" ".join, itertools.pairwise(words))]


if __name__ == "__main__":
    main()
