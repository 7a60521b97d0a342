import csv
from pathlib import Path

import pytest
import torch

from rnn_lab.classification.reports import ConfusionPlot, MisclassifiedExamples
from rnn_lab.errors import UserError
from rnn_lab.training import BestCheckpoint, LearningCurves


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
    trainer = make_trainer(callbacks=MisclassifiedExamples())
    trainer.test(model, module, verbose=False)
    expected = sorted(errors.nonzero()[:, 0].tolist(), key=lambda i: float(module.x[i, 0]))
    assert [row["text"] for row in rows(trainer)] == [f"text {i}" for i in expected]
    assert {(row["truth"], row["predicted"]) for row in rows(trainer)} == {("bad", "good")}
    probabilities = [float(row["probability"]) for row in rows(trainer)]
    assert probabilities == sorted(probabilities, reverse=True)


def test_the_number_of_rows_is_limited(task, data, make_trainer):
    module = data()
    model, _ = always_good(task, module)
    trainer = make_trainer(callbacks=MisclassifiedExamples(rows=2))
    trainer.test(model, module, verbose=False)
    most_confident = module.x[:, 0].argsort()[:2].tolist()
    assert [row["text"] for row in rows(trainer)] == [f"text {i}" for i in most_confident]


def test_texts_with_line_breaks_and_quotes_are_escaped(task, data, make_trainer):
    module = data()
    text = 'say "no",\nthen — stop'
    module.test_split.texts = [text] * 8
    trainer = make_trainer(callbacks=MisclassifiedExamples())
    trainer.test(always_good(task, module)[0], module, verbose=False)
    assert {row["text"] for row in rows(trainer)} == {text}


def test_multi_label_data_has_no_list_of_errors(task, data, make_trainer):
    model = task()
    model.test_step = lambda batch, batch_idx: model.step(batch)._replace(targets=batch[0])
    trainer = make_trainer(callbacks=MisclassifiedExamples())
    trainer.test(model, data(), verbose=False)
    assert not Path(trainer.default_root_dir, "misclassified.csv").exists()


def test_zero_rows_are_refused():
    with pytest.raises(UserError, match="rows must be at least 1, got 0"):
        MisclassifiedExamples(rows=0)


def test_data_without_texts_has_only_the_confusion_matrix(task, data, make_trainer):
    trainer = make_trainer(callbacks=[ConfusionPlot(), MisclassifiedExamples()])
    trainer.test(task(), data(texts=False), verbose=False)
    names = {path.name for path in Path(trainer.default_root_dir).iterdir()}
    assert names == {"metrics.csv", "confusion_matrix.png", "per_class.csv"}


def test_the_confusion_matrix_needs_no_data_module(task, data, make_trainer):
    trainer = make_trainer(callbacks=[ConfusionPlot(), MisclassifiedExamples()])
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
    callbacks = [LearningCurves(), ConfusionPlot(), MisclassifiedExamples()]
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
        callbacks=[ConfusionPlot(), MisclassifiedExamples()],
        strategy="ddp_fork",
        devices=2,
        use_distributed_sampler=False,
    )
    trainer.test(model, module, verbose=False)
    assert sorted(row["text"] for row in rows(trainer)) == [
        f"text {i}" for i in errors.nonzero()[:, 0].tolist()
    ]
    assert Path(trainer.default_root_dir, "confusion_matrix.png").exists()
