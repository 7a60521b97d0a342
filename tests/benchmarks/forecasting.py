"""Train the forecasters of ETTh1 and ETTm1, and print the tables of the site.

    python tests/benchmarks/forecasting.py [NAME ...] [--seeds 1 2 3]

Errors are means over all windows, steps and channels of the test split, in standard deviations of
the training split, as in published results (8640, 2880 and 2880 rows of ETTh1; four times as many
of ETTm1). Models are selected on the validation split. Runs are written to `runs/forecasting`;
finished runs are skipped, and interrupted ones resume from their last checkpoint. Needs
`RNN_LAB_DATA` or a network connection.
"""

import argparse
import csv
import json
import os
import statistics
from pathlib import Path

from timed_fit import fit

RUNS = Path("runs/forecasting")
ONE_EPOCH = ["--data=ETTh1", "--trainer.max_epochs=1"]
LONG = ["--data.input_length=720", "--model.optimizer.lr=0.0003"]
ETTM1 = ["--data=ETTm1", "--data.batch_size=64", "--data.input_length=336"]
PATCHED = ["-c", "configs/forecasting/etth1_patched_lstm.yaml"]
SEGRNN = ["-c", "configs/forecasting/etth1_segrnn.yaml"]
EXPERIMENTS: dict[str, tuple[str, list[str], bool]] = {  # label, options, whether to run every seed
    "seasonal": (
        "seasonal naive (24)",
        ["--model=SeasonalNaiveForecaster", *ONE_EPOCH],
        False,
    ),
    "last": ("last value", ["--model=LastValueForecaster", *ONE_EPOCH], False),
    "drift": ("drift", ["--model=DriftForecaster", *ONE_EPOCH], False),
    "dlinear": (
        "DLinear",
        ["--model=DLinearForecaster", "--data=ETTh1"],
        False,
    ),
    "textbook": (
        "`etth1_textbook`",
        ["-c", "configs/forecasting/etth1_textbook.yaml"],
        False,
    ),
    "lstm": (
        "`etth1_lstm`",
        ["-c", "configs/forecasting/etth1_lstm.yaml"],
        True,
    ),
    "patched": ("`etth1_patched_lstm`", PATCHED, True),
    "segrnn": ("`etth1_segrnn`", SEGRNN, True),
    "transformer": (
        "`etth1_transformer`, 96 from 336",
        ["-c", "configs/forecasting/etth1_transformer.yaml"],
        True,
    ),
    "patched-720": ("the patched LSTM, 96 from 720", [*PATCHED, *LONG], False),
    "segrnn-720": ("SegRNN, 96 from 720", [*SEGRNN, *LONG], False),
    "patched-ettm1": ("the patched LSTM on ETTm1, 96 from 336", [*PATCHED, *ETTM1], False),
    "segrnn-ettm1": ("SegRNN on ETTm1, 96 from 336", [*SEGRNN, *ETTM1], False),
}


def main() -> None:
    """Run missing experiments and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", default=list(EXPERIMENTS), metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    args = parser.parse_args()
    print("| Model | MSE per seed | Mean | Worst | MAE | MASE | Parameters | Minutes |")
    print("| --- " * 8 + "|")
    for name in args.names:
        label, options, every_seed = EXPERIMENTS[name]
        seeds = args.seeds if every_seed else [1]
        runs = [run(f"{name}-{seed}", seed, options) for seed in seeds]
        errors = [result["mse"] for result in runs]
        cells = [
            " ".join(f"{error:.3f}" for error in errors),
            f"{statistics.mean(errors):.3f}",
            f"{max(errors):.3f}",
            *(f"{statistics.mean(result[key] for result in runs):.3f}" for key in ("mae", "mase")),
            f"{runs[0]['parameters']:,}",
            f"{statistics.mean(run['minutes'] for run in runs):.1f}",
        ]
        print(f"| {label} | {' | '.join(cells)} |", flush=True)


def run(name: str, seed: int, options: list[str]) -> dict:
    """Read a result from its file, or train, test and write it."""
    path, folder = RUNS / f"{name}.json", RUNS / name
    if path.exists():
        return json.loads(path.read_text())
    minutes = fit(options, RUNS.name, name, seed)
    threads = os.environ.get("OMP_NUM_THREADS")
    result = read_run(folder) | {"minutes": minutes, "threads": threads}
    path.write_text(json.dumps(result))
    return result


def read_run(folder: Path) -> dict:
    """Read the metrics of a run."""
    import torch

    scores = json.loads((folder / "scores.json").read_text())["scores"]
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    weights = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    return scores | {
        "validation": min(float(row["val/mse"]) for row in rows if row["val/mse"]),
        "parameters": sum(w.numel() for name, w in weights.items() if name != "unused"),
    }


if __name__ == "__main__":
    main()
