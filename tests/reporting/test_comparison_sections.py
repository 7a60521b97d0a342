"""Sections on several runs."""

from saved_runs import experiment

from rnn_lab.comparison.compare import compare
from rnn_lab.comparison.saved_run import read_run
from rnn_lab.io.run_files import runs_below
from rnn_lab.reporting.comparison_sections import compared, curves, overview


def runs_in(folder):
    experiment(folder, {"GRU": [0.8, 0.82], "LSTM": [0.7, 0.72]})
    return [read_run(each) for each in sorted(runs_below(folder))]


def test_a_comparison_has_a_table_its_method_and_a_figure(tmp_path):
    (section,) = compared(compare(runs_in(tmp_path / "runs"), against="LSTM"))
    assert [row[0] for row in section.tables[0].rows] == ["GRU", "LSTM"]
    assert any("paired bootstrap" in note for note in section.notes)
    assert "training (s)" in section.pictures[0].svg
    assert "$" not in section.pictures[0].svg


def test_the_overview_has_a_row_for_each_run(tmp_path):
    section = overview(runs_in(tmp_path / "runs"), list("abcd"))
    table = section.tables[0]
    assert [*table.head] == ["run", "state", "model.layer", "seed", "test/accuracy"]
    assert table.rows[0] == ["a", "finished", "GRU", "1", "0.8000"]


def test_curves_of_groups_lie_over_each_other(tmp_path):
    runs = runs_in(tmp_path / "runs")
    frame = {"step": [1.0, 2.0], "val/loss": [2.0, 1.0]}
    (section,) = curves(runs, [frame] * 4, list("abcd"), ["model.layer"])
    (picture,) = section.pictures
    assert all(f">{name}</text>" in picture.svg for name in ("GRU", "LSTM", "val/loss"))
    assert [*curves(runs, [frame, {}, {}, {}], list("abcd"), [])] == []
