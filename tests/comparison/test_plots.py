"""The figure of score against cost connects the groups that no other one beats."""

import pytest
from saved_runs import accuracy_run

from rnn_lab.comparison.compare import compare
from rnn_lab.comparison.plots import pareto_front, plot_pareto, without_cost
from rnn_lab.comparison.saved_run import read_run
from rnn_lab.errors import UserError
from rnn_lab.io.run_files import runs_below

GROUPS = {"A": (0.5, 1.0), "B": (0.7, 3.0), "C": (0.6, 4.0), "D": (0.8, 9.0)}


@pytest.fixture
def comparison(tmp_path):
    for layer, (accuracy, seconds) in GROUPS.items():
        cost = {"seconds": seconds}
        accuracy_run(tmp_path / layer, accuracy, model={"layer": layer}, cost=cost)
    return compare([read_run(folder) for folder in sorted(runs_below(tmp_path))])


def test_groups_that_another_beats_are_not_on_the_front(comparison):
    points = [(group, group.cost("seconds")) for group in comparison.groups]
    assert [group.value for group, _ in pareto_front(points, higher=True)] == ["A", "B", "D"]
    assert [group.value for group, _ in pareto_front(points, higher=False)] == ["A"]


def test_every_group_is_a_labeled_point(comparison):
    (axes,) = plot_pareto(comparison).axes
    assert [text.get_text() for text in axes.texts] == ["A", "B", "C", "D"]
    front = next(line for line in axes.lines if line.get_label() == "Pareto front")
    assert list(front.get_xdata()) == [1.0, 3.0, 9.0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("training (s)", "test/accuracy")


def test_a_cost_that_no_run_has_is_refused(comparison):
    with pytest.raises(UserError, match="no run has recorded its peak_memory"):
        plot_pareto(comparison, "peak_memory")


def test_a_front_of_one_group_has_no_line_and_no_legend(tmp_path):
    for layer, accuracy, seconds in (("A", 0.8, 1.0), ("B", 0.7, 3.0)):
        cost = {"seconds": seconds}
        accuracy_run(tmp_path / layer, accuracy, model={"layer": layer}, cost=cost)
    (axes,) = plot_pareto(compare([read_run(folder) for folder in runs_below(tmp_path)])).axes
    assert axes.get_legend() is None
    assert "Pareto front" not in [line.get_label() for line in axes.lines]


def test_groups_without_a_cost_are_named(comparison, tmp_path):
    assert without_cost(comparison, "seconds") is None
    accuracy_run(tmp_path / "E", 0.9, model={"layer": "E"}, cost={"seconds": None})
    more = compare([read_run(folder) for folder in sorted(runs_below(tmp_path))])
    message = "not in the figure, since no run recorded the cost seconds: E"
    assert without_cost(more, "seconds") == message
