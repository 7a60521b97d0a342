"""What bfloat16 costs in accuracy on SST-2, and what it gains in speed, both on a CPU.

    OMP_NUM_THREADS=1 RNN_LAB_DATA=... python tests/benchmarks/bfloat16.py [--seeds 1 2 3]

Accuracy: the SST-2 config is trained in both precisions in turns, with equal seeds, each time in a
process of its own, and tested in the precision of its training. Speed: training steps of the same
model in both precisions take turns in one process, for several sizes; the median of the ratios.
"""

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

import rnn_lab
from rnn_lab.models import TextClassifier
from rnn_lab.tasks.text_classification.batch import TextBatch

CONFIG = "configs/text_classification/sst2.yaml"
PRECISIONS = ("32-true", "bf16-mixed")
VOCAB_SIZE, BATCH, LENGTH = 8000, 32, 20  # about the sizes of SST-2
SIZES = (128, 512, 1024)  # units in each direction, and features of the embedding


def accuracy(precision: str, seed: int, epochs: int) -> float:
    """Train and test; return the accuracy in percent."""
    with tempfile.TemporaryDirectory(prefix="rnn-lab-") as folder:
        command = [
            *(sys.executable, "-m", "rnn_lab", "fit", "-c", CONFIG, "--test=true"),
            *(f"--trainer.precision={precision}", f"--trainer.max_epochs={epochs}"),
            *(f"--seed_everything={seed}", f"--trainer.default_root_dir={folder}/run"),
            "--trainer.accelerator=cpu",
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(Path(folder, "run", "metrics.csv"), newline="", encoding="utf-8") as file:
            return 100 * float(list(csv.DictReader(file))[-1]["test/accuracy"])


def time_ratio(size: int, rounds: int = 20) -> float:
    """Return the time of a step in bfloat16 over that of one in full precision."""
    torch.manual_seed(0)
    model = TextClassifier(
        VOCAB_SIZE, num_classes=2, embedding_dim=size, hidden_dim=size, bidirectional=True
    )
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    lengths = torch.randint(LENGTH // 2, LENGTH + 1, (BATCH,))
    tokens = torch.randint(2, VOCAB_SIZE, (BATCH, LENGTH))
    batch = TextBatch(tokens, torch.randint(2, (BATCH,)), lengths)

    def seconds(enabled: bool) -> float:
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = model.step(batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return time.perf_counter() - start

    ratios = [seconds(enabled=True) / seconds(enabled=False) for _ in range(rounds)]
    return statistics.median(ratios[2:])


def main() -> None:
    """Measure the ratios, train with all seeds, and print tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    rnn_lab.configure_cpu()
    print("| Units | Time of a step in bfloat16 over full precision |\n| - | - |")
    for size in SIZES:
        print(f"| {size} | {time_ratio(size):.2f} |", flush=True)
    print("\n| Precision | Test accuracy per seed | Mean |\n| - | - | - |")
    for precision in PRECISIONS if options.seeds else ():
        accuracies = [accuracy(precision, seed, options.epochs) for seed in options.seeds]
        per_seed = " ".join(f"{each:.2f}" for each in accuracies)
        print(f"| {precision} | {per_seed} | {statistics.mean(accuracies):.2f} |", flush=True)


if __name__ == "__main__":
    main()
