"""Train the language models of the README, and print their perplexity after each epoch.

    python tests/benchmarks/language.py [CONFIG ...]

`wikitext2` and `wikitext2_plain` are the same LSTM with and without what AWD-LSTM drops and holds
back; `tinyshakespeare` is a model of characters, whose bits a character are told. The best epoch on
the validation split is tested. Runs lie in `runs/language`; what is finished is not run again, and
a training that was interrupted goes on from its last checkpoint. Needs `RNN_LAB_DATA` or a network.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import torch

from rnn_lab.training import read_metrics

RUNS = Path("runs/language")
METRICS = {"wikitext2_plain": "perplexity", "wikitext2": "perplexity", "tinyshakespeare": "bits"}


def main() -> None:
    """Train what is missing, then print a row for each config."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("configs", nargs="*", default=list(METRICS), metavar="CONFIG")
    args = parser.parse_args()
    print("| Config | | Parameters | Validation, after each epoch | Test |")
    print("| --- " * 5 + "|")
    for config in args.configs:
        metric = METRICS[config]
        found = trained(config)
        epochs, digits = found[f"val/{metric}"], 1 if metric == "perplexity" else 3
        cells = [
            f"`configs/language_modeling/{config}.yaml`",
            metric if metric == "perplexity" else "bits a character",
            f"{parameters(config):,}",
            " ".join(f"{value:.{digits}f}" for value in epochs),
            f"{found[f'test/{metric}'][0]:.{digits + 1}f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def trained(config: str) -> dict[str, list[float]]:
    """Read what a run measured, after training and testing it where that is not done."""
    path = RUNS / config / "metrics.csv"
    if not path.exists() or not measured(path, "test/perplexity"):
        command = [
            *(
                sys.executable,
                "-m",
                "rnn_lab",
                "fit",
                "-c",
                f"configs/language_modeling/{config}.yaml",
            ),
            *("--experiment=language", f"--name={config}", "--test=true", "--ckpt_path=last"),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    names = (f"{stage}/{name}" for stage in ("val", "test") for name in ("perplexity", "bits"))
    return {name: measured(path, name) for name in names}


def measured(path: Path, name: str) -> list[float]:
    """All values of a metric, the first first."""
    return [value for value in read_metrics(path).get(name, []) if value is not None]


def parameters(config: str) -> int:
    """Weights of a model; tied ones count once."""
    best = torch.load(RUNS / config / "checkpoints/best.ckpt", weights_only=True)
    weights = {weight.data_ptr(): weight.numel() for weight in best["state_dict"].values()}
    return sum(weights.values())


if __name__ == "__main__":
    main()
