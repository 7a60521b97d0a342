"""Contents of the plots."""

import numpy as np
import pytest

from rnn_lab.tasks.forecasting.plots import (
    ForecastPanel,
    plot_errors_by_step,
    plot_forecasts,
    plot_residuals,
)


def panel(bands):
    hours = np.arange(30)
    times = np.datetime64("2024-01-01T00", "ns") + hours * np.timedelta64(1, "h")
    values = np.sin(hours / 3)
    future = values[24:]
    limits = {coverage: (future - coverage, future + coverage) for coverage in bands}
    return ForecastPanel("load", times[:24], values[:24], times[24:], future, future, limits)


@pytest.mark.parametrize("count", [1, 3])
def test_each_window_has_a_panel_with_title_and_intervals(count):
    figure = plot_forecasts([panel([0.8, 0.95])] * count)
    visible = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in visible] == ["load"] * count
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [
        "observed",
        "95% prediction interval",
        "80% prediction interval",
        "forecast",
    ]


def test_errors_by_step_have_a_line_per_model():
    figure = plot_errors_by_step({"LSTM": np.arange(1.0, 5.0), "drift": np.arange(2.0, 6.0)}, "MAE")
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.get_lines()] == ["LSTM", "drift"]
    assert axes.get_lines()[0].get_xdata().tolist() == [1, 2, 3, 4]
    assert "MAE" in axes.get_ylabel()


def test_residuals_are_shown_where_nearly_all_of_them_are():
    edges = np.linspace(-6, 6, 25)
    counts = np.where(np.abs(edges[:-1] + 0.25) < 2, 100, 0)
    (axes,) = plot_residuals({"step 1": counts}, edges).axes
    low, high = axes.get_xlim()
    assert -2.5 <= low <= -2 < 2 <= high <= 2.5


@pytest.mark.parametrize(("residuals", "bins"), [(9, 3), (100, 10), (90_000, 160)])
def test_few_residuals_have_few_bins(residuals, bins):
    edges = np.linspace(-6, 6, 241)
    counts, _ = np.histogram(np.linspace(-4, 4, residuals), edges)
    (axes,) = plot_residuals({"step 1": counts, "step 2": counts}, edges).axes
    first, _ = axes.patches
    values, used, _ = first.get_data()
    low, high = axes.get_xlim()
    assert len([edge for edge in used if low < edge <= high]) <= bins + 1
    assert (values * np.diff(used)).sum() == pytest.approx(1)
    assert used[0] == edges[0]
    assert used[-1] == edges[-1]
