"""Sections on the files of each task."""

import json

import numpy as np
from PIL import Image

from rnn_lab.reporting.task_sections import task_sections

CLASSES = "label,precision,recall,f1,support\na,0.5,1.0,0.6667,1\nb,,0.0,0.0,1\n"


def sections(folder, rows=None):
    return {section.title: section for section in task_sections(folder, rows or {}, "run-1")}


def image(path):
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)


def test_an_empty_folder_has_no_section(tmp_path):
    assert sections(tmp_path) == {}


def test_classes_have_a_matrix_scores_and_errors(tmp_path):
    (tmp_path / "per_class.csv").write_text(CLASSES)
    (tmp_path / "misclassified.csv").write_text("row,truth,predicted,probability\n2,b,a,0.7\n")
    target = np.array(["a", "b"], object)
    rows = {"target": target, "prediction": np.array(["a", "a"], object), "probability": target}
    shown = sections(tmp_path, rows)
    assert [*shown] == ["Classes", "Most informative errors"]
    assert "<svg" in shown["Classes"].pictures[0].svg
    assert shown["Classes"].tables[0].rows[1] == ["b", "", "0.000", "0.000", "1"]
    assert shown["Most informative errors"].tables[0].rows == [["2", "b", "a", "0.7"]]


def test_without_saved_rows_the_saved_matrix_is_shown(tmp_path):
    image(tmp_path / "confusion_matrix.png")
    assert sections(tmp_path)["Classes"].pictures[0].uri


def test_translations_have_attention_maps(tmp_path):
    entry = {"source": "ein Haus", "reference": "a house", "translation": "a home"}
    (tmp_path / "translations.test.jsonl").write_text(json.dumps(entry) + "\n")
    image(tmp_path / "attention" / "test-0.png")
    shown = sections(tmp_path)["Translations"]
    assert [*shown.tables[0].rows] == [["ein Haus", "a house", "a home"]]
    assert len(shown.pictures) == 1


def test_forecasts_have_errors_by_step_and_a_backtest(tmp_path):
    scores = {"scores": {"mse": 1.0}, "by_step": {"mse": [1.0, None], "coverage_80": [0.8, 0.8]}}
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    (tmp_path / "backtest").mkdir()
    table = "model,step,mse\nLSTMForecaster,all,0.5\nLSTMForecaster,1,0.25\n"
    (tmp_path / "backtest" / "backtest.csv").write_text(table)
    image(tmp_path / "forecasts.png")
    shown = sections(tmp_path)["Forecasts"]
    assert [bool(each.uri) for each in shown.pictures] == [True, False]
    assert [*shown.tables[0].rows] == [["LSTMForecaster", "0.5000"]]


def test_generated_texts_are_shown(tmp_path):
    (tmp_path / "generated.csv").write_text("epoch,text\n1,once upon a time\n")
    assert [*sections(tmp_path)["Generated text"].tables[0].rows] == [["1", "once upon a time"]]
