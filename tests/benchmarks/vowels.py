"""Train the shipped configs of JapaneseVowels with five seeds each.

    python tests/benchmarks/vowels.py [NAME ...] [--seeds 1 2 3 4 5]

Prints a table of the site. Runs are in `runs/vowels/`; finished runs are not repeated. Needs
`RNN_LAB_DATA` or a network. There is no validation split, and the last epoch is tested.
"""

import argparse
import json
import os
import statistics
from pathlib import Path

from timed_fit import fit

from rnn_lab.training import read_metrics

CONFIGS = ["japanese_vowels", "japanese_vowels_gru"]
RUNS = Path("runs/vowels")


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=CONFIGS, metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    args = parser.parse_args()
    print("| Config | Test accuracy per seed | Mean | Worst | Macro F1 | Seconds |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in args.names:
        print(row(name, [cached(name, seed) for seed in args.seeds]), flush=True)


def row(name: str, runs: list[dict]) -> str:
    """Return a row of the table, in percent."""
    accuracies = [100 * run["accuracy"] for run in runs]
    per_seed = " ".join(f"{accuracy:.2f}" for accuracy in accuracies)
    f1 = 100 * statistics.mean(run["f1"] for run in runs)
    seconds = statistics.mean(run["seconds"] for run in runs)
    return (
        f"| `{name}` | {per_seed} "
        f"| {statistics.mean(accuracies):.2f} | {min(accuracies):.2f} | {f1:.1f} | {seconds:.0f} |"
    )


def cached(name: str, seed: int) -> dict:
    """Read a result from its file, or train and write it."""
    path = RUNS / f"{name}-{seed}.json"
    if not path.exists():
        result = train(name, seed)
        path.write_text(json.dumps(result))
    return json.loads(path.read_text())


def train(name: str, seed: int) -> dict:
    """Train a config, test its last epoch, and read its metrics."""
    options = ["-c", f"configs/sequence_classification/{name}.yaml"]
    seconds = 60 * fit(options, RUNS.name, f"{name}-{seed}", seed)
    metrics = read_metrics(RUNS / f"{name}-{seed}/metrics.csv")
    test = {
        key: next(value for value in reversed(metrics[f"test/{key}"]) if value is not None)
        for key in ("accuracy", "f1")
    }
    return {**test, "seconds": seconds, "threads": os.environ.get("OMP_NUM_THREADS")}


if __name__ == "__main__":
    main()
