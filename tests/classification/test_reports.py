import csv
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningDataModule
from tiny import StepOutput, TinyData
from torchmetrics import MetricCollection
from torchmetrics.classification import MultilabelConfusionMatrix

from rnn_lab.classification.reports import ConfusionPlot, PredictionReport
from rnn_lab.errors import UserError
from rnn_lab.training import BestCheckpoint, LearningCurves, OfflineWandbLogger


def always_good(task, data):
    """Return a task that predicts class 1, more confidently for a smaller first feature."""
    model = task()
    with torch.no_grad():
        model.layer.weight.zero_()
        model.layer.weight[1, 0] = -1.0
        model.layer.bias.copy_(torch.tensor([0.0, 9.0]))
    return model, data.y == 0


def rows(trainer):
    with open(
        Path(trainer.default_root_dir, "misclassified.csv"), newline="", encoding="utf-8"
    ) as file:
        return list(csv.DictReader(file))


def test_errors_are_sorted_by_confidence(task, data, make_trainer):
    module = data()
    model, errors = always_good(task, module)
    trainer = make_trainer(callbacks=PredictionReport())
    trainer.test(model, module, verbose=False)
    expected = sorted(errors.nonzero()[:, 0].tolist(), key=lambda i: float(module.x[i, 0]))
    assert [row["text"] for row in rows(trainer)] == [f"text {i}" for i in expected]
    assert {(row["truth"], row["predicted"]) for row in rows(trainer)} == {("bad", "good")}
    probabilities = [float(row["probability"]) for row in rows(trainer)]
    assert probabilities == sorted(probabilities, reverse=True)


def test_the_number_of_rows_is_limited(task, data, make_trainer):
    module = data()
    model, _ = always_good(task, module)
    trainer = make_trainer(callbacks=PredictionReport(errors=2))
    trainer.test(model, module, verbose=False)
    most_confident = module.x[:, 0].argsort()[:2].tolist()
    assert [row["text"] for row in rows(trainer)] == [f"text {i}" for i in most_confident]


def test_texts_with_line_breaks_and_quotes_are_escaped(task, data, make_trainer):
    module = data()
    text = 'say "no",\nthen — stop'
    module.test_split.texts = [text] * 8
    trainer = make_trainer(callbacks=PredictionReport())
    trainer.test(always_good(task, module)[0], module, verbose=False)
    assert {row["text"] for row in rows(trainer)} == {text}


def has_both_labels(task):
    """Return a task on multi-label data that predicts no label, all rows being of both labels."""
    model = task()
    model.metrics["test"] = MetricCollection({"confusion": MultilabelConfusionMatrix(2)})

    def test_step(batch, batch_idx):
        probabilities = torch.tensor([[0.4, 0.1]]).expand(len(batch[0]), 2)
        targets = torch.ones_like(probabilities, dtype=torch.long)
        model.metrics["test"].update(probabilities, targets)
        return StepOutput(torch.zeros(()), probabilities, targets, len(targets))

    model.test_step = test_step
    return model


def test_multi_label_data_has_errors_and_a_matrix_of_each_label(task, data, make_trainer):
    trainer = make_trainer(callbacks=[ConfusionPlot(), PredictionReport()])
    trainer.test(has_both_labels(task), data(), verbose=False)
    assert Path(trainer.default_root_dir, "confusion_matrix.png").exists()
    assert sorted(int(row.pop("row")) for row in rows(trainer)) == list(range(1, 9))
    for row in rows(trainer):
        assert (row["truth"], row["predicted"]) == ("bad|good", "")
        assert (row["label"], float(row["probability"])) == ("good", 0.9)  # of not being good


@pytest.mark.parametrize(("option", "least"), [("errors", 1), ("sample", 0)])
def test_too_few_rows_are_refused(option, least):
    with pytest.raises(UserError, match=f"{option} must be at least {least}, got {least - 1}"):
        PredictionReport(**{option: least - 1})


def test_errors_of_data_without_texts_have_the_number_of_the_row(task, data, make_trainer):
    module = data(texts=False)
    model, errors = always_good(task, module)
    trainer = make_trainer(callbacks=[ConfusionPlot(), PredictionReport()])
    trainer.test(model, module, verbose=False)
    names = {path.name for path in Path(trainer.default_root_dir).iterdir()}
    assert names == {"metrics.csv", "confusion_matrix.png", "per_class.csv", "misclassified.csv"}
    assert list(rows(trainer)[0]) == ["row", "truth", "predicted", "probability"]
    expected = [i + 1 for i in errors.nonzero()[:, 0].tolist()]
    assert sorted(int(row["row"]) for row in rows(trainer)) == expected


def test_a_test_without_errors_has_an_empty_list(task, data, make_trainer):
    module = data()
    model, _ = always_good(task, module)
    model.layer.weight.data[1, 0], model.layer.bias.data[1] = 99.0, 0.0  # right everywhere
    trainer = make_trainer(callbacks=PredictionReport())
    trainer.test(model, module, verbose=False)
    text = Path(trainer.default_root_dir, "misclassified.csv").read_text()
    assert text.splitlines() == ["row,text,truth,predicted,probability"]


class PlainData(LightningDataModule):
    """Data without names of labels and rows."""

    def test_dataloader(self):
        return TinyData().test_dataloader()


def test_plain_data_has_numbered_classes_and_no_list_of_errors(task, make_trainer, caplog):
    trainer = make_trainer(callbacks=[ConfusionPlot(), PredictionReport()])
    with caplog.at_level("INFO", "rnn_lab"):
        trainer.test(task(), PlainData(), verbose=False)
    assert "the most frequent class, for every row has an accuracy of 0." in caplog.text
    folder = Path(trainer.default_root_dir)
    lines = folder.joinpath("per_class.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["label", "0", "1"]
    assert not folder.joinpath("misclassified.csv").exists()


@pytest.mark.parametrize("size", [3, 8, 20])
def test_a_sample_of_predictions_is_logged_to_wandb(
    size, task, data, make_trainer, monkeypatch, caplog
):
    tables = {}
    for name in ("log_metrics", "log_graph", "log_hyperparams"):
        monkeypatch.setattr(OfflineWandbLogger, name, lambda *args, **options: None)
    monkeypatch.setattr(
        OfflineWandbLogger,
        "log_table",
        lambda self, key, columns, data: tables.update({key: (columns, data)}),
    )
    logger = OfflineWandbLogger(mode="disabled")
    trainer = make_trainer(callbacks=PredictionReport(sample=size), logger=logger)
    caplog.set_level("INFO")
    module = data()
    trainer.test(always_good(task, module)[0], module, verbose=False)
    columns, table = tables["test/predictions"]
    assert columns == ["row", "text", "truth", "predicted", "probability"]
    expected = [1, 4, 8] if size == 3 else list(range(1, 9))
    assert [row[0] for row in table] == expected
    assert [row[2] for row in table] == [module.label_names[module.y[i - 1]] for i in expected]
    assert f"W&B table test/predictions: {len(expected)} of 8 rows" in caplog.messages


def test_the_confusion_matrix_needs_no_data_module(task, data, make_trainer):
    trainer = make_trainer(callbacks=[ConfusionPlot(), PredictionReport()])
    trainer.test(task(), data().test_dataloader(), verbose=False)
    assert Path(trainer.default_root_dir, "confusion_matrix.png").exists()


def test_a_task_without_a_confusion_matrix_has_no_plot(task, data, make_trainer):
    model = task()
    model.test_step = lambda batch, batch_idx: None
    model.metrics = torch.nn.ModuleDict()
    trainer = make_trainer(callbacks=ConfusionPlot())
    trainer.test(model, data(), verbose=False)
    assert not Path(trainer.default_root_dir, "confusion_matrix.png").exists()


def test_learning_curves_are_plotted_after_training(task, data, make_trainer):
    trainer = make_trainer(max_epochs=2, callbacks=[LearningCurves(), BestCheckpoint()])
    trainer.fit(task(), data())
    assert Path(trainer.default_root_dir, "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_fast_dev_run_writes_no_files(task, data, make_trainer):
    callbacks = [LearningCurves(), ConfusionPlot(), PredictionReport()]
    trainer = make_trainer(fast_dev_run=True, callbacks=callbacks)
    trainer.fit(task(), data())
    trainer.test(task(), data(), verbose=False)
    assert not Path(trainer.default_root_dir).exists()


def test_two_processes_write_one_list_of_errors(task, data, make_trainer):
    module = data()
    model, errors = always_good(task, module)
    by_rank = [module.plan("test")[:1], module.plan("test")[1:]]
    module.plan = lambda split: by_rank[module.trainer.global_rank]
    trainer = make_trainer(
        callbacks=[ConfusionPlot(), PredictionReport()],
        strategy="ddp_fork",
        devices=2,
        use_distributed_sampler=False,
    )
    trainer.test(model, module, verbose=False)
    assert sorted(row["text"] for row in rows(trainer)) == [
        f"text {i}" for i in errors.nonzero()[:, 0].tolist()
    ]
    assert Path(trainer.default_root_dir, "confusion_matrix.png").exists()
