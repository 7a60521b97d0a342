"""Reports of a test of a classifier: confusion matrix and most confident errors."""

import csv
import heapq
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from rnn_lab.classification.per_class import ClassScores, format_scores, scores_per_class
from rnn_lab.errors import UserError
from rnn_lab.io.atomic import atomic_write
from rnn_lab.training.reports import (
    gather_from_all_ranks,
    get_datamodule,
    report_path,
    save_figure,
    should_write,
    wandb_loggers,
)

log = logging.getLogger(__name__)


class ConfusionPlot(Callback):
    """Write the scores of each class of the test split, and plot its confusion matrix.

    Precision, recall, F1 and support are logged and written to `per_class.csv`; the matrix is
    plotted as `confusion_matrix.png`, unless a row may have several labels. Uses the confusion
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
        if counts.ndim == 3:  # several labels: one matrix per label
            return
        from rnn_lab.classification.plots import confusion_matrix

        save_figure(confusion_matrix(counts, labels), trainer, "confusion_matrix.png")
        for logger in wandb_loggers(trainer):
            logger.log_confusion_matrix("test/confusion_matrix", counts.tolist(), labels)


def _write_scores(trainer: Trainer, counts: np.ndarray, labels: Sequence[str]) -> None:
    """Log the scores of each class, and write them to `per_class.csv`."""
    scores = scores_per_class(counts, labels)
    log.info("scores of each class in the test split:\n%s", format_scores(scores))
    with atomic_write(report_path(trainer, "per_class.csv")) as file:
        csv.writer(file).writerows([ClassScores._fields, *scores])


class MisclassifiedExamples(Callback):
    """Write the misclassified test texts with the highest confidence to `misclassified.csv`.

    Data without texts and multi-label data have no such file. At most `rows` examples are held in
    memory.

    Args:
        rows: Maximum number of examples.

    Raises:
        UserError: If `rows` is less than 1.
    """

    COLUMNS = ("text", "truth", "predicted", "probability")

    def __init__(self, rows: int = 100) -> None:
        if rows < 1:
            raise UserError(f"MisclassifiedExamples: rows must be at least 1, got {rows}")
        self.rows = rows
        self._worst: list[
            tuple[float, int, int, int]
        ] = []  # probability, row, true and predicted class
        self._plan: list[Any] = []  # rows of each batch, in loader order

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = get_datamodule(trainer)
        has_text = data is not None and hasattr(data.split("test"), "text")
        self._plan = list(data.plan("test")) if has_text else []
        self._worst = []

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._plan and outputs.targets.ndim != 1:
            self._plan = []  # with several labels per text, the error is ambiguous
        if self._plan:
            examples = torch.as_tensor(self._plan[batch_idx])
            errors = _most_confident_errors(
                outputs.predictions, outputs.targets, examples, self.rows
            )
            self._worst = heapq.nlargest(self.rows, self._worst + errors)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        worst = heapq.nlargest(self.rows, gather_from_all_ranks(trainer, self._worst))
        if not self._plan or not should_write(trainer):
            return
        data = get_datamodule(trainer)
        text, labels = data.split("test").text, data.label_names
        table = [
            [text(example), labels[true], labels[predicted], round(probability, 4)]
            for probability, example, true, predicted in worst
        ]
        with open(
            report_path(trainer, "misclassified.csv"), "w", newline="", encoding="utf-8"
        ) as file:
            csv.writer(file).writerows([self.COLUMNS, *table])
        for logger in wandb_loggers(trainer):
            logger.log_table("test/misclassified", columns=list(self.COLUMNS), data=table)


def _most_confident_errors(
    predictions: Tensor, targets: Tensor, examples: Tensor, limit: int
) -> list[tuple[float, int, int, int]]:
    """Return the most confident errors of a batch: probability, row, true and predicted class."""
    probability, predicted = predictions.max(1)
    errors = (predicted != targets).nonzero()[:, 0]
    errors = errors[probability[errors].topk(min(limit, len(errors))).indices]
    columns = probability[errors], examples[errors.cpu()], targets[errors].long(), predicted[errors]
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _labels(trainer: Trainer, count: int) -> list[str]:
    data = get_datamodule(trainer)
    return data.label_names if data is not None else [str(i) for i in range(count)]
