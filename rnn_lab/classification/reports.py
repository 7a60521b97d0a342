"""What a classifier writes after a test: the confusion matrix and its most confident errors."""

import csv
import heapq
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from rnn_lab.errors import UserError
from rnn_lab.training.reports import (
    gather_from_all_ranks,
    get_datamodule,
    report_path,
    save_figure,
    should_write,
    wandb_loggers,
)


class ConfusionPlot(Callback):
    """Draw which class was taken for which in the test split, as `confusion_matrix.png`.

    Reads the task's own confusion matrix (`task.metrics["test"]["confusion"]`), exact over batches
    and processes; a task without one is passed over.
    """

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics: Any = getattr(pl_module, "metrics", {})
        if "test" not in metrics or "confusion" not in metrics["test"]:
            return
        matrix = metrics["test"]["confusion"].compute()  # on every rank: it gathers
        if matrix.ndim != 2 or not should_write(trainer):  # several labels: one matrix per label
            return
        from rnn_lab.classification.plots import confusion_matrix

        counts, labels = matrix.cpu().numpy(), _labels(trainer, len(matrix))
        save_figure(confusion_matrix(counts, labels), trainer, "confusion_matrix.png")
        for run in wandb_loggers(trainer):
            run.log_confusion_matrix("test/confusion_matrix", counts.tolist(), labels)


class MisclassifiedExamples(Callback):
    """List the test texts labeled wrongly with most confidence, in `mistakes.csv`.

    Data without texts, and texts with several labels, are passed over. No more than `rows`
    mistakes are held at any time.

    Args:
        rows: Longest list written.

    Raises:
        UserError: If `rows` is less than one.
    """

    COLUMNS = ("text", "truth", "predicted", "probability")

    def __init__(self, rows: int = 100) -> None:
        if rows < 1:
            raise UserError(f"MisclassifiedExamples: rows must be at least 1, got {rows}")
        self.rows = rows
        self._worst: list[tuple[float, int, int, int]] = []  # probability, example, truth, answer
        self._plan: list[Any] = []  # examples of each batch, in the loader's order

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
            self._plan = []  # several labels a text: which of them is the mistake?
        if self._plan:
            examples = torch.as_tensor(self._plan[batch_idx])
            wrong = _wrong(outputs.predictions, outputs.targets, examples, self.rows)
            self._worst = heapq.nlargest(self.rows, self._worst + wrong)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        worst = heapq.nlargest(self.rows, gather_from_all_ranks(trainer, self._worst))
        if not self._plan or not should_write(trainer):
            return
        data = get_datamodule(trainer)
        text, labels = data.split("test").text, data.label_names
        table = [
            [text(example), labels[truth], labels[answer], round(probability, 4)]
            for probability, example, truth, answer in worst
        ]
        with open(report_path(trainer, "mistakes.csv"), "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([self.COLUMNS, *table])
        for run in wandb_loggers(trainer):
            run.log_table("test/mistakes", columns=list(self.COLUMNS), data=table)


def _wrong(
    predictions: Tensor, targets: Tensor, examples: Tensor, most: int
) -> list[tuple[float, int, int, int]]:
    """The most confident mistakes of a batch: probability, example, truth, answer."""
    probability, answers = predictions.max(1)
    wrong = (answers != targets).nonzero()[:, 0]
    wrong = wrong[probability[wrong].topk(min(most, len(wrong))).indices]
    columns = probability[wrong], examples[wrong.cpu()], targets[wrong].long(), answers[wrong]
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _labels(trainer: Trainer, number: int) -> list[str]:
    data = get_datamodule(trainer)
    return data.label_names if data is not None else [str(i) for i in range(number)]
