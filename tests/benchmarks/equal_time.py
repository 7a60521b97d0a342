"""Compare recurrent text classifiers with others at equal processor time, over three seeds.

    python tests/benchmarks/equal_time.py [trec] [sst2] [--jobs 2] [--format md]

Every run trains for the same processor time on one thread (`rnn_lab.training.TimeBudget`), with the
learning rate annealed over it, and its last weights are tested. Models have the hyperparameters of
the configs `trec`, `sst2`, `trec_transformer` and `trec_ngrams`, which were chosen for other
lengths of training. Runs are in `runs/equal_time_TASK`; the same command resumes them.
"""

import argparse
import os
import subprocess
import sys

MINUTES = {"trec": 0.5, "sst2": 1.0}  # of training without validation
DATA = {
    "trec": ("--data=TREC", "--data.tokenizer.min_freq=2", "--data.split.valid_fraction=0.02"),
    "sst2": ("--data=SST2", "--data.tokenizer.min_freq=2"),
}
RATES = {"trec": 0.002, "sst2": 0.001}  # of the networks
RECURRENT = (
    *("--model=TextClassifier", "--model.embedding_dim=128", "--model.hidden_dim=128"),
    *("--model.bidirectional=true", "--model.pooling=max", "--model.dropouts.embedding=0.4"),
    *("--model.dropouts.word=0.1", "--model.initialization.embedding_std=0.1"),
)
TRANSFORMER = (
    *("--model=TransformerClassifier", "--model.hidden_dim=128", "--model.num_layers=2"),
    *("--model.pooling=max", "--model.dropouts.layer=0.1", "--model.dropouts.embedding=0.4"),
    "--model.dropouts.word=0.1",
)
NGRAMS = ("--model=BagOfNgramsClassifier", "--model.optimizer.lr=0.003", "--data.batch_size=32")
BATCH_SIZES = {"trec": 64, "sst2": 32}


def systems(task: str) -> dict[str, tuple[str, ...]]:
    """Return the options of each model."""
    network = (f"--model.optimizer.lr={RATES[task]}", f"--data.batch_size={BATCH_SIZES[task]}")
    recurrent = {
        layer: (*RECURRENT, f"--model.layer={layer}", *network)
        for layer in ("LSTM", "GRU", "RGLRU")
    }
    return {**recurrent, "Transformer": (*TRANSFORMER, *network), "ngrams": NGRAMS}


def main() -> int:
    """Train what is missing, and print a comparison for each task; return 1 if a run failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tasks", nargs="*", default=list(MINUTES), metavar="TASK")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--format", default="md")
    args = parser.parse_args()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-m", "rnn_lab"]
    for task in args.tasks:
        experiment = f"equal_time_{task}"
        for name, options in systems(task).items():
            fit = [
                *(*program, "fit", *DATA[task], *options, f"--name={name}"),
                *("--seeds=1,2,3", f"--jobs={args.jobs}", "--test=true"),
                *(f"--experiment={experiment}", "--trainer.max_epochs=-1"),
                *("--trainer.callbacks+=rnn_lab.training.TimeBudget",),
                *(f"--trainer.callbacks.minutes={MINUTES[task]}", "--early_stopping.patience=1000"),
                *("--checkpoint.monitor=epoch", "--checkpoint.mode=max"),
            ]
            if subprocess.run(fit, env=environment, check=False).returncode:
                return 1
        compare = [
            *(*program, "compare", f"runs/{experiment}", "--by", "model", "model.layer"),
            *("--against", "TextClassifier, LSTM", f"--format={args.format}"),
        ]
        if subprocess.run(compare, env=environment, check=False).returncode:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
