"""Reports of translation: tables of translations, attention maps, scores with signatures."""

import csv
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from rnn_lab.errors import UserError
from rnn_lab.io.atomic import atomic_write
from rnn_lab.training.epoch_number import epoch_number
from rnn_lab.training.reports import (
    evenly_spaced,
    gather_from_all_ranks,
    get_datamodule,
    is_dry_run,
    log_table,
    report_path,
    save_figure,
    should_write,
)

AttentionMap = tuple[list[str], list[str], torch.Tensor]


@runtime_checkable
class Translating(Protocol):
    """A module whose validation and test steps output translations, as every `TranslationTask`."""

    def attention_maps(self, batch: Any) -> list[AttentionMap]:
        """Return source tokens, target tokens and weights `(target, source)` of each sentence."""


MAX_TOKENS = 64  # of each sentence in a file of attention weights
LOGGED_ROWS = 200  # maximum number of translations of a test that are logged to W&B


class TranslationReport(Callback):
    """Write translations, scores and attention maps to the run folder.

    Each validation writes the first sentences of its split to `translations.csv`, always the same
    ones. A test writes all sentences in the order of the file to `translations.test.jsonl`, and
    the scores with sacrebleu's signatures to `scores.json`. Fit and test plot the attention
    weights of the first sentences of their split to `attention/valid-0.png`,
    `attention/test-0.png` and so on, and write their numbers to `attention/valid.json` and
    `attention/test.json`, at most 64 tokens of a sentence. The table, a sample of the sentences
    of a test and the maps are also logged to W&B. Tasks that do not translate and data
    given as loaders are ignored.

    Args:
        rows: Number of sentences in the table after a validation.
        maps: Number of attention maps at the end of a fit or a test.

    Raises:
        UserError: If a number is negative.
    """

    COLUMNS = ("epoch", "source", "reference", "translation")

    def __init__(self, rows: int = 20, maps: int = 4) -> None:
        for name, value in (("rows", rows), ("maps", maps)):
            if value < 0:
                raise UserError(f"TranslationReport: {name} must be at least 0, got {value}")
        self.rows, self.maps = rows, maps
        self._validated = False
        self._plan: list[Any] = []  # rows of each batch, in the order of the loader
        self._outputs: dict[int, str] = {}  # translations by row of the split

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validated = False

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start(trainer, pl_module, "valid")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start(trainer, pl_module, "test")

    def _start(self, trainer: Trainer, task: LightningModule, split: str) -> None:
        self._outputs = {}
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

    def _collect(self, batch_idx: int, outputs: Any, limit: float = math.inf) -> None:
        pairs = zip(self._plan[batch_idx], outputs.predictions, strict=True)
        self._outputs |= {int(row): text for row, text in pairs if row < limit}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not _reports(trainer, pl_module):
            return
        self._validated = True
        outputs = gather_from_all_ranks(trainer, list(self._outputs.items()))
        if not outputs or not should_write(trainer):
            return
        table = [[epoch_number(trainer), *line] for line in _lines(trainer, "valid", outputs)]
        with atomic_write(report_path(trainer, "translations.csv")) as file:
            csv.writer(file).writerows([self.COLUMNS, *table])
        log_table(trainer, "val/translations", self.COLUMNS, table)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._validated and _reports(trainer, pl_module):
            self._plot_attention(trainer, pl_module, "valid")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not _reports(trainer, pl_module):
            return
        outputs = gather_from_all_ranks(trainer, list(self._outputs.items()))
        scores = _scores(trainer, pl_module)  # on all ranks, because it is a collective operation
        if not should_write(trainer):
            return
        with open(report_path(trainer, "translations.test.jsonl"), "w", encoding="utf-8") as file:
            for line in _lines(trainer, "test", outputs):
                entry = dict(zip(self.COLUMNS[1:], line, strict=True))
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        sample = [sorted(outputs)[i] for i in evenly_spaced(len(outputs), LOGGED_ROWS)]
        table = list(map(list, _lines(trainer, "test", sample)))
        log_table(trainer, "test/translations", self.COLUMNS[1:], table, len(outputs))
        text = json.dumps(scores, indent=2, ensure_ascii=False)
        report_path(trainer, "scores.json").write_text(text + "\n", encoding="utf-8")
        self._plot_attention(trainer, pl_module, "test")

    def _plot_attention(self, trainer: Trainer, task: Any, split: str) -> None:
        if not should_write(trainer):
            return
        rows = get_datamodule(trainer).split(split)
        count = min(self.maps, len(rows))
        maps = _attention_maps(task, rows[np.arange(count)]) if count else []
        if maps:
            content = {"sentences": [_saved_map(*each) for each in maps]}
            with atomic_write(report_path(trainer, f"attention/{split}.json")) as file:
                json.dump(content, file, ensure_ascii=False)
        for number, (source, target, weights) in enumerate(maps):
            from rnn_lab.tasks.translation.plots import attention_map

            title = f"attention weights, sentence {number + 1} of the {split} split"
            figure = attention_map(weights.float().cpu().numpy(), source, target, title)
            save_figure(figure, trainer, f"attention/{split}-{number}.png")


def _reports(trainer: Trainer, task: LightningModule) -> bool:
    """Return whether there is something to report; the same on all ranks."""
    if is_dry_run(trainer) or trainer.sanity_checking:
        return False
    return isinstance(task, Translating) and get_datamodule(trainer) is not None


def _lines(
    trainer: Trainer, split: str, outputs: Iterable[tuple[int, str]]
) -> Iterator[tuple[str, str, str]]:
    """Yield source, reference and detokenized translation by row."""
    data = get_datamodule(trainer)
    rows, detokenize = data.split(split), data.tokenizer.target.detokenize
    for row, text in sorted(outputs):
        yield rows.source(row), rows.target(row), detokenize(text)


def _saved_map(source: list[str], target: list[str], weights: torch.Tensor) -> dict[str, Any]:
    """Return tokens and weights, of a long sentence the first ones."""
    values = weights[:MAX_TOKENS, :MAX_TOKENS].double().cpu().numpy().round(3)
    return {
        "source": source[:MAX_TOKENS],
        "target": target[:MAX_TOKENS],
        "weights": values.tolist(),
        "cut": max(len(source), len(target)) > MAX_TOKENS,
    }


def _scores(trainer: Trainer, task: Any) -> dict[str, dict[str, Any]]:
    """Return all test metrics, sacrebleu's in double precision, and the signatures."""
    logged = trainer.callback_metrics.items()
    scores = {name.removeprefix("test/"): x for name, x in logged if name.startswith("test/")}
    corpus = task.metrics["test"]["corpus"]
    values = {name: float(value) for name, value in (scores | corpus.compute()).items()}
    return {
        "scores": {name: None if math.isnan(x) else x for name, x in values.items()},
        "signatures": corpus.signatures(),
    }


@torch.no_grad()
def _attention_maps(task: Any, batch: Any) -> list[AttentionMap]:
    training = task.training
    task.eval()
    maps = task.attention_maps(batch.to(task.device))
    task.train(training)
    return maps
