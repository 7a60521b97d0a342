"""Series of every awkward size are backtested and forecast, or refused in one line."""

import tempfile

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnn_lab.datamodules import ForecastingFiles
from rnn_lab.errors import UserError
from rnn_lab.models import LastValueForecaster
from rnn_lab.tasks.forecasting.backtest import backtest, to_rows
from rnn_lab.tasks.forecasting.calibration import scores_needed
from rnn_lab.tasks.forecasting.forecast_table import SeriesErrors
from rnn_lab.tasks.forecasting.metrics import INTERVALS
from rnn_lab.tasks.forecasting.predictor import ForecastPredictor

names = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=4)


@st.composite
def tables(draw):
    """Draw a long table of up to three series with gaps."""
    ids = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    parts = []
    for number, name in enumerate(ids):
        rows = draw(st.integers(1, 70))
        values = np.random.default_rng(number).normal(10 * number, 1 + number, rows)
        values[draw(st.lists(st.integers(0, rows - 1), max_size=8))] = np.nan
        dates = pd.date_range("2024-01-01", periods=rows)
        parts.append(pd.DataFrame({"unique_id": f"x{name}", "ds": dates, "y": values}))
    return pd.concat(parts, ignore_index=True)


def or_refused(function):
    """Return the result of a function; None if it refuses the series in one line."""
    try:
        return function()
    except UserError as error:
        return check_one_line(str(error))


def check_one_line(message):
    assert message
    assert "\n" not in message


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    table=tables(),
    input_length=st.integers(1, 7),
    horizon=st.integers(1, 5),
    stride=st.integers(1, 3),
    split=st.sampled_from([None, [0.5, 0.25, 0.25], [0.6, 0.0, 0.4], [20, 9, 12]]),
)
def test_a_series_is_evaluated_with_what_can_be_calibrated(
    table, input_length, horizon, stride, split
):
    with tempfile.TemporaryDirectory() as folder:
        table.to_csv(f"{folder}/it.csv", index=False)
        sizes = {"stride": stride, "split": split}
        data = ForecastingFiles(f"{folder}/it.csv", input_length, horizon, **sizes)
        test = or_refused(lambda: data.split("test"))
        if test is None:
            return
        task = LastValueForecaster(data.output_dim, horizon=horizon).eval()
        model = ForecastPredictor(task, data.reader)
        by_series = SeriesErrors(test)
        results = list(backtest({"last": model}, data, 3, by_series.add))
        fewest = int(model.calibration.sum(-1).min())
        for coverage in INTERVALS:
            name = f"coverage_{round(100 * coverage)}"
            value = float(results[0].errors.compute()[name])
            observed = results[0].errors.counts[0].sum() > 0
            assert np.isfinite(value) == bool(fewest >= scores_needed(coverage) and observed)
        for row in [*to_rows(results), *by_series.rows()]:
            assert not any(isinstance(value, float) and np.isinf(value) for value in row.values())
        latest = table.groupby("unique_id").tail(input_length + 9)
        answer = or_refused(lambda: model.predict(latest))
        if answer is None:
            return
        assert not np.isinf(answer.select_dtypes("number")).any(axis=None)
        bounds = answer.filter(regex="_(lower|upper)_80$")
        calibrated = (model.calibration.sum(-1) >= 4).numpy()[:, 0]
        assert (bounds.notna().to_numpy().all(1).reshape(-1, horizon) == calibrated).all()
