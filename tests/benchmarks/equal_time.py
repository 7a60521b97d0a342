"""Compare recurrent models with others at equal processor time, over three seeds.

    python tests/benchmarks/equal_time.py [trec] [sst2] [etth1] [multi30k] [--jobs 2] [--format md]

Every run trains for the same processor time on one thread (`rnn_lab.training.TimeBudget`), with the
learning rate annealed over it, and its last weights are tested. Models have the hyperparameters of
the configs `trec`, `sst2`, `trec_transformer` and `trec_ngrams`, or of the named ones, which were
chosen for other lengths of training; for ETTh1 with equal windows and about equal numbers of
parameters. Runs are in `runs/equal_time_TASK`; the same command resumes them.
"""

import argparse
import os
import subprocess
import sys

# Of training without validation.
MINUTES = {"trec": 0.5, "sst2": 1.0, "etth1": 1.0, "multi30k": 6.0}
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
# Models of other tasks; the first one is what the others are compared with.
CONFIGS = {
    "etth1": {
        "PatchedLSTM": ("-c=etth1_patched_lstm", "--data.input_length=336"),
        "SegRNN": ("-c=etth1_segrnn", "--data.input_length=336", "--model.hidden_dim=160"),
        "Transformer": ("-c=etth1_transformer", "--model.hidden_dim=32"),
    },
    "multi30k": {"LSTM": ("-c=multi30k",), "Transformer": ("-c=multi30k_transformer",)},
}
BY = {
    "trec": ("--by", "model", "model.layer", "--against", "TextClassifier, LSTM"),
    "sst2": ("--by", "model", "model.layer", "--against", "TextClassifier, LSTM"),
    "etth1": ("--by", "model", "--against", "PatchedLSTMForecaster"),
    "multi30k": ("--by", "model", "--against", "Translator", "--metric", "test/bleu_tokenized"),
}


def systems(task: str) -> dict[str, tuple[str, ...]]:
    """Return the options of each model."""
    if task in CONFIGS:
        return CONFIGS[task]
    network = (f"--model.optimizer.lr={RATES[task]}", f"--data.batch_size={BATCH_SIZES[task]}")
    recurrent = {
        layer: (*DATA[task], *RECURRENT, f"--model.layer={layer}", *network)
        for layer in ("LSTM", "GRU", "RGLRU")
    }
    others = {"Transformer": (*TRANSFORMER, *network), "ngrams": NGRAMS}
    return recurrent | {name: (*DATA[task], *options) for name, options in others.items()}


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
                *(*program, "fit", *options, f"--name={name}"),
                *("--seeds=1,2,3", f"--jobs={args.jobs}", "--test=true"),
                *(f"--experiment={experiment}", "--trainer.max_epochs=-1"),
                *("--trainer.callbacks+=rnn_lab.training.TimeBudget",),
                *(f"--trainer.callbacks.minutes={MINUTES[task]}", "--early_stopping.patience=1000"),
                *("--checkpoint.monitor=epoch", "--checkpoint.mode=max"),
            ]
            if subprocess.run(fit, env=environment, check=False).returncode:
                return 1
        compare = [
            *(*program, "compare", f"runs/{experiment}", *BY[task], f"--format={args.format}"),
        ]
        if subprocess.run(compare, env=environment, check=False).returncode:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
