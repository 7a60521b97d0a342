"""Comparisons are shown as text, Markdown, CSV and LaTeX."""

import csv
import io

import pytest
from saved_runs import accuracy_run, experiment

from rnn_lab.comparison.compare import compare
from rnn_lab.comparison.saved_run import read_run
from rnn_lab.comparison.tables import as_csv, as_latex, as_markdown, as_text
from rnn_lab.io.run_files import COST, runs_below

THREE = {"GRU": [0.80, 0.82], "Min_GRU": [0.60, 0.61], "LSTM": [0.70, 0.72]}


def runs_of(root):
    return [read_run(folder) for folder in sorted(runs_below(root))]


@pytest.fixture
def comparison(tmp_path):
    return compare(runs_of(experiment(tmp_path, THREE)), ["model.layer"], against="LSTM")


def test_text_has_a_row_for_each_group_and_explains_its_columns(comparison):
    head, gru, lstm, *rest = as_text(comparison).splitlines()
    assert head.split() == [
        *("model.layer", "runs", "test/accuracy", "SD", "by", "seed", "difference", "95", "%"),
        *("interval", "p", "(Holm)", "parameters", "seconds", "targets/s"),
    ]
    assert gru.split()[:7] == ["GRU", "2", "0.8100", "0.01414", "0.8000", "0.8200", "+0.1000"]
    assert gru.split()[-3:] == ["1,000", "10", "100"]
    assert "reference" in lstm
    explained = "\n".join(rest)
    assert "difference: mean minus that of LSTM; it varies with seeds" in explained
    assert "the 200 rows of the test (paired bootstrap" in explained
    assert "by Holm, intervals are not" in explained


def test_without_a_reference_there_are_no_columns_for_differences(tmp_path):
    text = as_text(compare(runs_of(experiment(tmp_path, THREE)), ["model.layer"]))
    assert "interval" not in text.splitlines()[0]
    assert "add --against VALUE" in text


def test_a_single_run_has_no_deviation_and_its_seeds_are_not_known(tmp_path):
    accuracy_run(tmp_path / "a", 0.5, model={"layer": "GRU"})
    accuracy_run(tmp_path / "b", 0.6, model={"layer": "LSTM", "hidden_dim": 8})
    (tmp_path / "a" / COST).unlink()
    text = as_text(compare(runs_of(tmp_path), ["model.layer"], against="LSTM"))
    assert "SD" not in text
    assert "not over seeds for GRU, LSTM, of which there is one run" in text
    assert "model.hidden_dim differs, too (GRU: -, LSTM: 8)" in text


def test_a_difference_without_known_variance_is_unknown(tmp_path):
    root = experiment(tmp_path, {"GRU": [0.5], "LSTM": [0.6]})
    runs = runs_of(root)
    runs[0].items.unlink()
    assert "unknown" in as_text(compare(runs, against="LSTM"))


def test_markdown_is_a_table(comparison):
    head, rule, *rows = as_markdown(comparison).partition("\n\n")[0].splitlines()
    assert {line.count("|") for line in (head, rule, *rows)} == {head.count("|")}
    assert rule.startswith("| :--- | ---: |")


def test_csv_has_all_digits(comparison):
    rows = {row["model.layer"]: row for row in csv.DictReader(io.StringIO(as_csv(comparison)))}
    gru = comparison.groups[0]
    assert float(rows["GRU"]["difference"]) == gru.difference.value
    assert float(rows["GRU"]["adjusted_p_value"]) == gru.p_value
    assert (rows["GRU"]["scores"], rows["GRU"]["seeds"]) == ("0.8 0.82", "1 2")
    assert rows["LSTM"]["difference"] == ""


def test_latex_escapes_names(comparison):
    text = as_latex(comparison)
    assert r"Min\_GRU & 2 &" in text
    assert r"95 \% interval" in text
    columns = text.splitlines()[0].count("r}") and text.splitlines()[2].count(" & ") + 1
    assert text.splitlines()[0] == r"\begin{tabular}{l" + "r" * (columns - 1) + "}"
