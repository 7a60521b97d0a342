"""Reports of translation."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torchmetrics import MetricCollection

from rnn_lab.errors import UserError
from rnn_lab.tasks.translation.metrics import TranslationScores
from rnn_lab.tasks.translation.reports import TranslationReport
from rnn_lab.training import OfflineWandbLogger

SOURCES = [f'line "{i}",\nor {i}' for i in range(8)]
REFERENCES = [f"Zeile {i}." for i in range(8)]


class StepOutput(NamedTuple):
    loss: torch.Tensor
    predictions: list[str]
    targets: list[str]
    weight: int


class Batch(NamedTuple):
    rows: list[int]

    def to(self, device):
        return self


class Rows:
    def __len__(self):
        return 8

    def __getitem__(self, rows):
        return Batch(rows.tolist())

    def source(self, row):
        return SOURCES[row]

    def target(self, row):
        return REFERENCES[row]


class TinyPairs(LightningDataModule):
    """Eight pairs in two batches of four, in reverse order."""

    def __init__(self):
        super().__init__()
        target = SimpleNamespace(detokenize=lambda text: text.replace(" .", "."))
        self.tokenizer = SimpleNamespace(target=target)

    def split(self, name):
        assert name in ("valid", "test")
        return Rows()

    def plan(self, name):
        return np.split(np.arange(7, -1, -1), 2)

    def loader(self):
        return torch.utils.data.DataLoader([Batch(r.tolist()) for r in self.plan("")], None)

    train_dataloader = val_dataloader = test_dataloader = loader


class TinyTranslator(LightningModule):
    """Translate row 3 incorrectly and all others correctly; in the second epoch also row 0."""

    def __init__(self, maps=True):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.maps = maps
        metrics = {name: MetricCollection({"corpus": TranslationScores()}) for name in ["test"]}
        self.metrics = torch.nn.ModuleDict(metrics)

    def translate(self, batch):
        wrong = {3} | ({0} if self.current_epoch == 1 else set())
        return ["falsch ." if row in wrong else f"Zeile {row} ." for row in batch.rows]

    def attention_maps(self, batch):
        assert not self.training
        assert not torch.is_grad_enabled()
        maps = [(["a", "<eos>"], [f"{row}", "<eos>"], torch.eye(2)) for row in batch.rows]
        return maps if self.maps else []

    def training_step(self, batch, batch_idx):
        return self.layer(torch.ones(1, 1)).sum()

    def validation_step(self, batch, batch_idx):
        written, references = self.translate(batch), [REFERENCES[row] for row in batch.rows]
        return StepOutput(torch.zeros(()), written, references, len(written))

    def test_step(self, batch, batch_idx):
        scores = self.validation_step(batch, batch_idx)
        self.metrics["test"].update(scores.predictions, scores.targets)
        self.log("test/loss", scores.loss, batch_size=4, sync_dist=True)
        return scores

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def folder(trainer):
    return Path(trainer.default_root_dir)


def table(trainer):
    with open(folder(trainer) / "translations.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def lines_of(trainer):
    text = (folder(trainer) / "translations.test.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def expected():
    written = ["falsch." if row == 3 else f"Zeile {row}." for row in range(8)]
    return [
        {"source": source, "reference": reference, "translation": translation}
        for source, reference, translation in zip(SOURCES, REFERENCES, written, strict=True)
    ]


def test_every_test_line_is_written_in_the_order_of_the_file(make_trainer):
    trainer = make_trainer(callbacks=TranslationReport(rows=2))
    trainer.test(TinyTranslator(), TinyPairs(), verbose=False)
    assert lines_of(trainer) == expected()


@pytest.mark.parametrize("rows", [1, 3, 20])
def test_the_table_has_the_latest_translations_of_the_first_sentences(rows, make_trainer):
    trainer = make_trainer(max_epochs=2, callbacks=TranslationReport(rows))
    trainer.fit(TinyTranslator(), TinyPairs())
    rows_of_table = table(trainer)
    assert [row["source"] for row in rows_of_table] == SOURCES[:rows]
    assert [row["reference"] for row in rows_of_table] == REFERENCES[:rows]
    assert rows_of_table[0]["translation"] == "falsch."
    assert {row["epoch"] for row in rows_of_table} == {"2"}


def test_validation_without_fit_writes_the_table(make_trainer):
    trainer = make_trainer(callbacks=TranslationReport())
    trainer.validate(TinyTranslator(), TinyPairs(), verbose=False)
    assert len(table(trainer)) == 8


def test_scores_are_written_with_their_signatures(make_trainer):
    trainer = make_trainer(callbacks=TranslationReport())
    model = TinyTranslator()
    trainer.test(model, TinyPairs(), verbose=False)
    written = json.loads((folder(trainer) / "scores.json").read_text(encoding="utf-8"))
    corpus = model.metrics["test"]["corpus"]
    assert written["signatures"] == corpus.signatures()
    assert written["scores"] == {"loss": 0} | {k: x.item() for k, x in corpus.compute().items()}


def test_nan_scores_are_written_as_null(make_trainer):
    model = TinyTranslator()
    model.metrics["test"].update = lambda *texts: None
    trainer = make_trainer(callbacks=TranslationReport())
    trainer.test(model, TinyPairs(), verbose=False)
    written = json.loads((folder(trainer) / "scores.json").read_text(encoding="utf-8"))
    assert written["scores"]["bleu"] is None


@pytest.mark.parametrize("maps", [0, 2])
def test_fit_and_test_plot_attention_maps(maps, make_trainer):
    trainer = make_trainer(max_epochs=1, callbacks=TranslationReport(maps=maps))
    model = TinyTranslator()
    trainer.fit(model, TinyPairs())
    trainer.test(model, TinyPairs(), verbose=False)
    names = {path.name for path in (folder(trainer) / "attention").glob("*.png")}
    assert names == {f"{split}-{i}.png" for split in ("valid", "test") for i in range(maps)}


def test_numbers_of_attention_maps_are_written(make_trainer):
    trainer = make_trainer(callbacks=TranslationReport(maps=2))
    trainer.test(TinyTranslator(), TinyPairs(), verbose=False)
    saved = json.loads((folder(trainer) / "attention" / "test.json").read_text(encoding="utf-8"))
    assert [each["target"] for each in saved["sentences"]] == [["0", "<eos>"], ["1", "<eos>"]]
    assert saved["sentences"][0]["weights"] == [[1, 0], [0, 1]]
    assert not saved["sentences"][0]["cut"]


def test_of_long_sentences_the_first_weights_are_written(make_trainer):
    model = TinyTranslator()
    model.attention_maps = lambda batch: [(["a"] * 100, ["b"] * 3, torch.ones(3, 100) / 100)]
    trainer = make_trainer(callbacks=TranslationReport(maps=1))
    trainer.test(model, TinyPairs(), verbose=False)
    saved = json.loads((folder(trainer) / "attention" / "test.json").read_text(encoding="utf-8"))
    assert saved["sentences"][0]["cut"]
    assert np.shape(saved["sentences"][0]["weights"]) == (3, 64)


def test_a_model_without_attention_writes_no_maps(make_trainer):
    trainer = make_trainer(max_epochs=1, callbacks=TranslationReport())
    trainer.fit(TinyTranslator(maps=False), TinyPairs())
    assert not (folder(trainer) / "attention").exists()


def test_fit_without_validation_needs_no_validation_split(make_trainer):
    trainer = make_trainer(max_epochs=1, limit_val_batches=0, callbacks=TranslationReport())
    trainer.fit(TinyTranslator(), TinyPairs())
    assert {path.name for path in folder(trainer).iterdir()} <= {"metrics.csv", "checkpoints"}


def test_lines_beyond_a_batch_limit_are_not_written(make_trainer):
    trainer = make_trainer(limit_test_batches=1, callbacks=TranslationReport())
    trainer.test(TinyTranslator(), TinyPairs(), verbose=False)
    assert lines_of(trainer) == expected()[4:]


def test_tables_and_maps_are_logged_to_weights_and_biases(make_trainer, monkeypatch):
    shown = []
    monkeypatch.setattr(OfflineWandbLogger, "log_metrics", lambda *args, **options: None)
    monkeypatch.setattr(OfflineWandbLogger, "log_graph", lambda *args, **options: None)
    monkeypatch.setattr(OfflineWandbLogger, "log_hyperparams", lambda *args, **options: None)
    monkeypatch.setattr(
        OfflineWandbLogger,
        "log_table",
        lambda self, key, columns, data: shown.append((key, len(data))),
    )
    monkeypatch.setattr(
        OfflineWandbLogger, "log_image", lambda self, key, images: shown.append((key, 1))
    )
    trainer = make_trainer(
        max_epochs=1,
        logger=OfflineWandbLogger(mode="disabled"),
        callbacks=TranslationReport(3, maps=1),
    )
    trainer.fit(TinyTranslator(), TinyPairs())
    assert shown == [("val/translations", 3), ("figures/attention/valid-0", 1)]
    monkeypatch.setattr("rnn_lab.tasks.translation.reports.LOGGED_ROWS", 5)
    trainer.test(TinyTranslator(), TinyPairs(), verbose=False)
    assert shown[2:] == [("test/translations", 5), ("figures/attention/test-0", 1)]


def test_a_dry_run_writes_no_translations(make_trainer):
    trainer = make_trainer(fast_dev_run=True, callbacks=TranslationReport())
    trainer.fit(TinyTranslator(), TinyPairs())
    trainer.test(TinyTranslator(), TinyPairs(), verbose=False)
    assert not folder(trainer).exists()


def test_a_task_that_does_not_translate_is_ignored(task, data, make_trainer):
    trainer = make_trainer(max_epochs=1, callbacks=TranslationReport())
    trainer.fit(task(), data())
    trainer.test(task(), data(), verbose=False)
    assert not list(folder(trainer).glob("translations*"))


def test_a_test_without_a_data_module_is_ignored(make_trainer):
    trainer = make_trainer(callbacks=TranslationReport())
    trainer.test(TinyTranslator(), TinyPairs().loader(), verbose=False)
    assert not list(folder(trainer).glob("translations*"))


@pytest.mark.parametrize("option", ["rows", "maps"])
def test_negative_numbers_are_refused(option):
    with pytest.raises(UserError, match=f"{option} must be at least 0, got -1"):
        TranslationReport(**{option: -1})


def test_two_processes_write_every_line_once(make_trainer):
    module = TinyPairs()
    by_rank = module.plan("")[:1], module.plan("")[1:]
    module.plan = lambda split: by_rank[module.trainer.global_rank]
    trainer = make_trainer(
        callbacks=TranslationReport(maps=1),
        strategy="ddp_fork",
        devices=2,
        use_distributed_sampler=False,
    )
    trainer.test(TinyTranslator(), module, verbose=False)
    assert lines_of(trainer) == expected()
    written = json.loads((folder(trainer) / "scores.json").read_text(encoding="utf-8"))
    alone = TranslationScores()
    alone.update(["falsch ." if i == 3 else f"Zeile {i} ." for i in range(8)], REFERENCES)
    assert written["scores"]["bleu"] == alone.compute()["bleu"].item()
