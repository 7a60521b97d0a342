"""Forecasts of single windows as SVG, from what a validation or test has saved of them."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rnn_lab.io.run_files import read_record
from rnn_lab.reporting.figures import add_legend, new_figure
from rnn_lab.reporting.parts import Picture, clean, shortened
from rnn_lab.reporting.svg import draw
from rnn_lab.training.plots import COLORS, label_color

MAX_WINDOWS = 6  # in a report
SPLITS = {"forecasts.json": "test", "forecasts.valid.json": "validation"}
DAMAGED = (KeyError, TypeError, ValueError, AttributeError)


def forecast_windows(folder: Path, key: str) -> list[Picture]:
    """Draw the saved forecasts of the test, else those of the validation.

    Args:
        folder: The folder of the run.
        key: Identifier of the run in the page.

    Returns:
        A figure for each window; none if the file is missing or damaged.
    """
    for name, split in SPLITS.items():
        try:
            windows = read_record(folder / name)["windows"][:MAX_WINDOWS]
            return [_picture(each, split, f"{key}-window-{n}") for n, each in enumerate(windows)]
        except DAMAGED:
            continue
    return []


def window_figure(window: Mapping[str, Any]) -> Figure:
    """Plot a forecast with its prediction intervals over the observed values.

    Args:
        window: A window of `forecasts.json`.
    """
    figure, axes = new_figure()
    past, times = _times(window["past_times"]), _times(window["times"])
    observed = _values([*window["past"], *window["future"]])
    axes.plot(
        np.concatenate([past, times]), observed, color=label_color(), linewidth=1, label="observed"
    )
    narrow = min(map(float, window["intervals"]), default=0.0)
    for coverage, bounds in sorted(window["intervals"].items(), reverse=True):
        low, high = map(_values, bounds)
        axes.fill_between(
            times, low, high, color=COLORS[0], linewidth=0,
            alpha=0.32 if float(coverage) == narrow else 0.16,
            label=f"{float(coverage):.0%} interval",
        )  # fmt: skip
    axes.plot(times, _values(window["forecast"]), color=COLORS[0], linewidth=1.4, label="forecast")
    axes.axvline(times[0], color=label_color(), linewidth=0.6, linestyle=":")
    if np.issubdtype(times.dtype, np.datetime64):
        locator = AutoDateLocator(minticks=3, maxticks=6)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.set_xlabel("time")
    else:
        axes.set_xlabel("time (steps)")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_ylabel(f"{shortened(clean(window['series']), 30)} (units of the data)")
    add_legend(figure, axes)
    return figure


def _picture(window: Mapping[str, Any], split: str, key: str) -> Picture:
    series = shortened(clean(window["series"]), 60)
    interval = " and prediction intervals" if window["intervals"] else ""
    caption = f"Forecast{interval} of a window of the {split} split: {series}"
    return Picture(caption, draw(partial(window_figure, window), key))


def _times(values: list[Any]) -> np.ndarray:
    return np.array(values, "datetime64[s]" if isinstance(values[0], str) else float)


def _values(values: list[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], float)
