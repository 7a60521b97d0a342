"""What `fit`, `validate` and `test` print when they end: a table of metrics."""

import sys
from collections.abc import Mapping

from lightning import Trainer

from rnn_lab import training
from rnn_lab.io.text_tables import metric_table

STAGES = ("val/", "test/")  # prefixes that the title of a column replaces


def plain_metrics(trainer: Trainer) -> dict[str, float]:
    """Return the metrics of the last validation or test as numbers."""
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def validation_metrics(trainer: Trainer) -> dict[str, dict[str, float]]:
    """Return a column of the validation metrics after training: those of the best checkpoint.

    Its title names the epoch. Without a checkpoint they are those of the last validation. There is
    no column without validation.
    """
    callback = training.checkpoint_callback_of(trainer)
    best = callback.best_metrics if isinstance(callback, training.BestCheckpoint) else {}
    metrics = best or plain_metrics(trainer)
    values = {name: value for name, value in metrics.items() if name.startswith("val")}
    title = f"val (epoch {metrics['epoch']:.0f})" if "epoch" in metrics else "val"
    return {title: values} if values else {}


def print_metrics(trainer: Trainer, columns: Mapping[str, Mapping[str, float]]) -> None:
    """Print an aligned table of metrics to standard output, in the main process."""
    if not trainer.is_global_zero or not any(columns.values()):
        return
    plain = {
        title: {_without_stage(name): value for name, value in metrics.items()}
        for title, metrics in columns.items()
    }
    sys.stdout.write("\n".join(metric_table(plain)) + "\n")
    sys.stdout.flush()  # before the next message on standard error


def _without_stage(name: str) -> str:
    prefix = next((prefix for prefix in STAGES if name.startswith(prefix)), "")
    return name.removeprefix(prefix)
