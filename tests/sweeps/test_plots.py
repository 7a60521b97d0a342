"""Figures of a sweep: each trial is a line over its options, each option a bar."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import create_trial

from rnn_lab.sweeps.plots import plot_importances, plot_parallel_coordinates

SPACE = {
    "model.layer": CategoricalDistribution(["LSTM", "GRU"]),
    "model.lr": FloatDistribution(1e-4, 1e-2, log=True),
    "model.dim": IntDistribution(8, 64),
}
POINTS = [("LSTM", 1e-4, 8), ("GRU", 1e-3, 8), ("GRU", 1e-2, 8)]


def trials():
    return [
        create_trial(
            value=number / 10,
            params=dict(zip(SPACE, point, strict=True)),
            distributions=SPACE,
        )
        for number, point in enumerate(POINTS)
    ]


@pytest.mark.parametrize("higher", [True, False])
def test_lines_have_the_heights_of_the_values(higher):
    figure = plot_parallel_coordinates(SPACE, trials(), "val/accuracy", higher)
    axes, bar = figure.axes
    lines = [list(line.get_ydata()) for line in axes.lines if len(line.get_xdata()) == 3]
    expected = [[1.0, 0.0, 0.5], [0.0, 0.5, 0.5], [0.0, 1.0, 0.5]]
    assert lines == [pytest.approx(each) for each in (expected if higher else expected[::-1])]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["layer", "lr", "dim"]
    assert {text.get_text() for text in axes.texts} == {"LSTM", "GRU", "0.0001000", "0.01000", "8"}
    assert bar.get_ylabel() == "val/accuracy"


def test_the_most_important_option_is_on_top():
    (axes,) = plot_importances({"model.lr": 0.7, "model.layer": 0.3}).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["model.layer", "model.lr"]
    assert [bar.get_width() for bar in axes.patches] == [0.3, 0.7]
