"""Train the language models of the site, and print their perplexity after each epoch.

    python tests/benchmarks/language.py [CONFIG ...]

`wikitext2` and `wikitext2_plain` are the same LSTM with and without the regularization of AWD-LSTM;
`tinyshakespeare` is a character-level model, for which bits per character are printed. The best
epoch on the validation split is tested. Runs are in `runs/language`: a finished run is not
repeated, an interrupted one is resumed from its last checkpoint. Needs `RNN_LAB_DATA` or a network.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import torch

from rnn_lab.training import read_metrics

RUNS = Path("runs/language")
METRICS = {
    "wikitext2_plain": "perplexity",
    "wikitext2": "perplexity",
    "tinyshakespeare": "bits_per_character",
}


def main() -> None:
    """Train the configs that have no finished run, then print a row for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("configs", nargs="*", default=list(METRICS), metavar="CONFIG")
    args = parser.parse_args()
    print("| Config | | Parameters | Validation, after each epoch | Test |")
    print("| --- " * 5 + "|")
    for config in args.configs:
        metric = METRICS[config]
        metrics = train(config)
        epochs, digits = metrics[f"val/{metric}"], 1 if metric == "perplexity" else 3
        cells = [
            f"`{config}`",
            metric.replace("_", " "),
            f"{count_parameters(config):,}",
            " ".join(f"{value:.{digits}f}" for value in epochs),
            f"{metrics[f'test/{metric}'][0]:.{digits + 1}f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def train(config: str) -> dict[str, list[float]]:
    """Return the metrics of a run, after training and testing it unless that is done."""
    path = RUNS / config / "metrics.csv"
    if not path.exists() or not read_values(path, "test/perplexity"):
        file = f"configs/language_modeling/{config}.yaml"
        command = [
            *(sys.executable, "-m", "rnn_lab", "fit", "-c", file),
            *("--experiment=language", f"--name={config}", "--test=true", "--ckpt_path=last"),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    names = ("perplexity", "bits_per_character")
    logged = [f"{stage}/{name}" for stage in ("val", "test") for name in names]
    return {name: read_values(path, name) for name in logged}


def read_values(path: Path, name: str) -> list[float]:
    """Return all values of a metric in the order in which they were logged."""
    return [value for value in read_metrics(path).get(name, []) if value is not None]


def count_parameters(config: str) -> int:
    """Count the parameters of a model, tied ones once."""
    best = torch.load(RUNS / config / "checkpoints/best.ckpt", weights_only=True)
    weights = {weight.data_ptr(): weight.numel() for weight in best["state_dict"].values()}
    return sum(weights.values())


if __name__ == "__main__":
    main()
