"""Reports of a test of a classifier: scores of each class, confusion matrix and errors."""

import csv
import heapq
import logging
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from rnn_lab.classification.per_class import (
    ClassScores,
    describe_baseline,
    format_scores,
    scores_per_class,
)
from rnn_lab.classification.predictions import (
    COLUMNS,
    MULTI_LABEL_COLUMNS,
    Prediction,
    predictions_of,
)
from rnn_lab.errors import UserError
from rnn_lab.io.atomic import atomic_write
from rnn_lab.training.reports import (
    evenly_spaced,
    gather_from_all_ranks,
    get_datamodule,
    log_table,
    report_path,
    save_figure,
    should_write,
    tables_are_logged,
    wandb_loggers,
)

log = logging.getLogger(__name__)


@runtime_checkable
class LabeledRows(Protocol):
    """Data of which a report can name classes and rows; every `LabDataModule` is one."""

    @property
    def label_names(self) -> Sequence[str]:
        """Labels in the order of their ids."""
        ...

    def plan(self, name: str) -> Sequence[Any]:
        """Return the row indices of each evaluation batch of this process, in loader order."""
        ...

    def describe_row(self, name: str, row: int) -> dict[str, Any]:
        """Return the cells, by column, that identify a row of a split."""
        ...


class ConfusionPlot(Callback):
    """Write the scores of each class of the test split, and plot its confusion matrix.

    Precision, recall, F1 and support are logged and written to `per_class.csv`; the matrix is
    plotted as `confusion_matrix.png`, in multi-label data one for each label. Uses the confusion
    matrix of the task (`task.metrics["test"]["confusion"]`), which is exact over batches and
    processes; a task without one has neither.
    """

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics: Any = getattr(pl_module, "metrics", {})
        if "test" not in metrics or "confusion" not in metrics["test"]:
            return
        matrix = metrics["test"][
            "confusion"
        ].compute()  # on every rank, as it is a collective operation
        if not should_write(trainer):
            return
        counts, labels = matrix.cpu().numpy(), _labels(trainer, len(matrix))
        _write_scores(trainer, counts, labels)
        from rnn_lab.classification.plots import confusion_matrices, confusion_matrix

        multi_label = counts.ndim == 3
        plot = confusion_matrices if multi_label else confusion_matrix
        save_figure(plot(counts, labels), trainer, "confusion_matrix.png")
        for logger in () if multi_label else wandb_loggers(trainer):
            logger.log_confusion_matrix("test/confusion_matrix", counts.tolist(), labels)


def _write_scores(trainer: Trainer, counts: np.ndarray, labels: Sequence[str]) -> None:
    """Log the scores of each class, and write them to `per_class.csv`."""
    scores = scores_per_class(counts, labels)
    lines = [format_scores(scores), *([describe_baseline(scores)] if counts.ndim == 2 else [])]
    log.info("scores of each class in the test split:\n%s", "\n".join(lines))
    with atomic_write(report_path(trainer, "per_class.csv")) as file:
        csv.writer(file).writerows([ClassScores._fields, *scores])


class PredictionReport(Callback):
    """Write the most confident errors of a test, and log a sample of predictions to W&B.

    The errors are written to `misclassified.csv`, with what identifies the row (the number of the
    row and, if there is one, its text), true and predicted class, and the probability. In
    multi-label data a row is an error if any label is wrong; the most confidently wrong `label` is
    named with the probability of the decision on it. Needs a `LabDataModule`.

    Args:
        errors: Maximum number of errors in the file.
        sample: Maximum number of predictions logged to W&B, evenly spaced over the split.

    Raises:
        UserError: If `errors` is less than 1, or `sample` less than 0.
    """

    def __init__(self, errors: int = 100, sample: int = 200) -> None:
        for name, count, minimum in (("errors", errors, 1), ("sample", sample, 0)):
            if count < minimum:
                raise UserError(f"PredictionReport: {name} must be at least {minimum}, got {count}")
        self.errors, self.sample = errors, sample
        self._errors: list[Prediction] = []
        self._sample: list[Prediction] = []
        self._sampled_rows: set[int] = set()
        self._num_rows = 0
        self._plan: Sequence[Any] = []  # rows of each batch, in loader order

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = get_datamodule(trainer)
        self._plan = data.plan("test") if isinstance(data, LabeledRows) else []
        self._errors, self._sample = [], []
        if self._plan and tables_are_logged(trainer):
            self._num_rows = len(data.split("test"))
            self._sampled_rows = set(evenly_spaced(self._num_rows, self.sample).tolist())

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not self._plan:
            return
        rows = torch.as_tensor(self._plan[batch_idx])
        predictions = predictions_of(outputs.predictions, outputs.targets, rows)
        errors = [each for each in predictions if each.truth != each.predicted]
        self._errors = heapq.nlargest(self.errors, self._errors + errors)
        self._sample += [each for each in predictions if each.row in self._sampled_rows]

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        errors = heapq.nlargest(self.errors, gather_from_all_ranks(trainer, self._errors))
        sample = gather_from_all_ranks(trainer, self._sample)
        if not self._plan or not should_write(trainer):
            return
        columns, table = self._table(trainer, errors)
        with atomic_write(report_path(trainer, "misclassified.csv")) as file:
            csv.writer(file).writerows([columns, *table])
        log_table(trainer, "test/misclassified", columns, table)
        sample.sort(key=lambda prediction: prediction.row)
        log_table(trainer, "test/predictions", *self._table(trainer, sample), self._num_rows)

    def _table(
        self, trainer: Trainer, predictions: Sequence[Prediction]
    ) -> tuple[list[str], list[list[Any]]]:
        """Return column names and rows."""
        data = get_datamodule(trainer)
        described = [data.describe_row("test", each.row) for each in predictions]
        first = described[0] if described else data.describe_row("test", 0)
        multi_label = any(each.label is not None for each in predictions)
        cells = [each.cells(data.label_names) for each in predictions]
        rows = [[*d.values(), *c] for d, c in zip(described, cells, strict=True)]
        return [*first, *(MULTI_LABEL_COLUMNS if multi_label else COLUMNS)], rows


def _labels(trainer: Trainer, count: int) -> Sequence[str]:
    """Return the names of the classes, or their numbers if the data has no names."""
    data = get_datamodule(trainer)
    names = data.label_names if isinstance(data, LabeledRows) else []
    return names if len(names) == count else [str(i) for i in range(count)]
