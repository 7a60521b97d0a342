"""Forecasts of saved windows as SVG."""

import json

import pytest

from rnn_lab.reporting.forecast_windows import forecast_windows, window_figure

WINDOW = {
    "series": "load",
    "past_times": ["2024-01-01T00:00:00", "2024-01-01T01:00:00"],
    "past": [1.0, 2.0],
    "times": ["2024-01-01T02:00:00", "2024-01-01T03:00:00"],
    "future": [3.0, None],
    "forecast": [2.5, 3.5],
    "intervals": {"0.8": [[2, 3], [3, 4]], "0.95": [[1, 2], [4, 5]]},
}


def labels(window):
    return window_figure(window).axes[0].get_legend_handles_labels()[1]


def test_a_window_has_its_forecast_and_intervals():
    assert labels(WINDOW) == ["observed", "95% interval", "80% interval", "forecast"]
    assert labels({**WINDOW, "intervals": {}}) == ["observed", "forecast"]


@pytest.mark.parametrize(("times", "label"), [([2, 3], "time (steps)"), (WINDOW["times"], "time")])
def test_axes_are_labeled(times, label):
    past = [0, 1] if label != "time" else WINDOW["past_times"]
    axes = window_figure({**WINDOW, "past_times": past, "times": times}).axes[0]
    assert axes.get_xlabel() == label
    assert axes.get_ylabel() == "load (units of the data)"


def test_the_test_comes_before_the_validation(tmp_path):
    assert forecast_windows(tmp_path, "run") == []
    (tmp_path / "forecasts.valid.json").write_text(json.dumps({"windows": [WINDOW]}))
    assert "validation split" in forecast_windows(tmp_path, "run")[0].caption
    (tmp_path / "forecasts.json").write_text(json.dumps({"windows": [WINDOW] * 9}))
    pictures = forecast_windows(tmp_path, "run")
    assert len(pictures) == 6
    assert "test split" in pictures[0].caption


@pytest.mark.parametrize("content", [{}, {"windows": [{}]}, {"windows": 3}])
def test_damaged_files_have_no_figure(content, tmp_path):
    (tmp_path / "forecasts.json").write_text(json.dumps(content))
    assert forecast_windows(tmp_path, "run") == []
