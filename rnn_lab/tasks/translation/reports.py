"""What a translator leaves to look at: translations, attention maps, scores with signatures."""

import csv
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

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


class TranslationReport(Callback):
    """Show what a model translates, and where it looks while it does.

    After each validation `translations.csv` holds the first sentences of that split, the same ones
    each time. A test leaves `translations.test.jsonl` with every sentence in the order of the file
    and `scores.json` with sacrebleu's signatures. Fit and test draw the attention over the first
    sentences of their split as `attention/valid-0.png` or `attention/test-0.png` and so on.
    A task that does not translate is passed over, and so is data given as loaders.

    Args:
        rows: Sentences in the table after a validation.
        maps: Attention maps drawn at the end of a fit or a test.

    Raises:
        UserError: If either is negative.
    """

    COLUMNS = ("epoch", "source", "reference", "translation")

    def __init__(self, rows: int = 20, maps: int = 4) -> None:
        for name, value in (("rows", rows), ("maps", maps)):
            if value < 0:
                raise UserError(f"TranslationReport: {name} must be at least 0, got {value}")
        self.rows, self.maps = rows, maps
        self._validated = False
        self._plan: list[Any] = []  # rows of each batch, in the loader's order
        self._written: dict[int, str] = {}  # what the model wrote for a row of the split

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validated = False

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin(trainer, pl_module, "valid")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin(trainer, pl_module, "test")

    def _begin(self, trainer: Trainer, task: LightningModule, split: str) -> None:
        self._written = {}
        self._plan = get_datamodule(trainer).plan(split) if _reports(trainer, task) else []

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if _reports(trainer, pl_module):
            self._collect(batch_idx, outputs, self.rows)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if _reports(trainer, pl_module):
            self._collect(batch_idx, outputs)

    def _collect(self, batch_idx: int, outputs: Any, most: float = math.inf) -> None:
        pairs = zip(self._plan[batch_idx], outputs.predictions, strict=True)
        self._written |= {int(row): text for row, text in pairs if row < most}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not _reports(trainer, pl_module):
            return
        self._validated = True
        written = gather_from_all_ranks(trainer, list(self._written.items()))
        if not written or not should_write(trainer):
            return
        table = [[trainer.current_epoch, *line] for line in _lines(trainer, "valid", written)]
        with atomic_write(report_path(trainer, "translations.csv")) as file:
            csv.writer(file).writerows([self.COLUMNS, *table])
        for run in wandb_loggers(trainer):
            run.log_table("val/translations", columns=list(self.COLUMNS), data=table)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._validated and _reports(trainer, pl_module):
            self._draw(trainer, pl_module, "valid")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not _reports(trainer, pl_module):
            return
        written = gather_from_all_ranks(trainer, list(self._written.items()))
        scores = _scores(trainer, pl_module)  # on every rank: it gathers
        if not should_write(trainer):
            return
        with open(report_path(trainer, "translations.test.jsonl"), "w", encoding="utf-8") as file:
            for line in _lines(trainer, "test", written):
                entry = dict(zip(self.COLUMNS[1:], line, strict=True))
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        text = json.dumps(scores, indent=2, ensure_ascii=False)
        report_path(trainer, "scores.json").write_text(text + "\n", encoding="utf-8")
        self._draw(trainer, pl_module, "test")

    def _draw(self, trainer: Trainer, task: Any, split: str) -> None:
        if not should_write(trainer):
            return
        rows = get_datamodule(trainer).split(split)
        count = min(self.maps, len(rows))
        found = _attend(task, rows[np.arange(count)]) if count else []
        for number, (source, target, weights) in enumerate(found):
            from rnn_lab.tasks.translation.plots import attention_map

            figure = attention_map(weights.float().cpu().numpy(), source, target)
            save_figure(figure, trainer, f"attention/{split}-{number}.png")


def _reports(trainer: Trainer, task: LightningModule) -> bool:
    """Whether there is something to report; every process comes to the same answer."""
    if trainer.fast_dev_run or trainer.sanity_checking:  # type: ignore[attr-defined]
        return False
    return hasattr(task, "translate") and get_datamodule(trainer) is not None


def _lines(
    trainer: Trainer, split: str, written: Iterable[tuple[int, str]]
) -> Iterator[tuple[str, str, str]]:
    """Source, reference and plain translation of rows and what was written for them, in order."""
    data = get_datamodule(trainer)
    rows, plain = data.split(split), data.reader.target.plain
    for row, text in sorted(written):
        yield rows.source(row), rows.target(row), plain(text)


def _scores(trainer: Trainer, task: Any) -> dict[str, dict[str, Any]]:
    """All that was measured in the test; what sacrebleu made to the last digit."""
    logged = trainer.callback_metrics.items()
    scores = {name.removeprefix("test/"): x for name, x in logged if name.startswith("test/")}
    corpus = task.metrics["test"]["corpus"]
    found = {name: float(value) for name, value in (scores | corpus.compute()).items()}
    return {
        "scores": {name: None if math.isnan(x) else x for name, x in found.items()},
        "signatures": corpus.signatures(),
    }


@torch.no_grad()
def _attend(task: Any, batch: Any) -> list[tuple[list[str], list[str], torch.Tensor]]:
    training = task.training
    task.eval()
    found = task.attention_maps(batch.to(task.device))
    task.train(training)
    return found
