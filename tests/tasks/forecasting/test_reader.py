"""Reading new series as in training, and writing forecasts."""

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from series_tables import assert_same, long, wide

from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.data import ForecastDataModule
from rnn_lab.tasks.forecasting.files import Columns
from rnn_lab.tasks.forecasting.reader import SeriesReader


def restored_reader(data: ForecastDataModule) -> SeriesReader:
    """Save and load the reader of a data module."""
    file = io.BytesIO()
    torch.save(data.build_spec(), file)
    file.seek(0)
    return SeriesReader.from_state_dict(torch.load(file, weights_only=True)["series"])


class TestReader:
    """Windows of new series, and forecasts as tables."""

    def test_the_window_ends_with_the_last_row_and_is_that_of_the_file(self, data_of: Any) -> None:
        frame = wide(100)
        data = data_of(frame, calendar=["hour", "weekday"], split=[50, 20, 30])
        windows = restored_reader(data).windows(frame.iloc[:75, [2, 0, 1]])
        result, expected = windows[np.array([0])], data.split("valid")
        row = np.array([25])
        assert (
            expected.origin(row)[1] == 75 > 70 - 4
        )  # the window includes rows of the previous split
        test = data.split("test")[np.array([5])]
        assert_same(
            result,
            test,
            "past",
            "past_features",
            "future_features",
            "location",
            "scale",
            "naive_mae",
        )
        assert result.future.isnan().all()
        assert windows.times(0)[0] == np.datetime64("2024-01-04T03:00")

    def test_times_may_be_the_index(self, data_of: Any) -> None:
        frame = wide()
        reader = restored_reader(data_of(frame))
        expected = reader.windows(frame)
        frame.index = pd.DatetimeIndex(frame.pop("date"), name=None)
        for name in (None, "date"):
            result = reader.windows(frame.rename_axis(index=name))
            assert_same(result[np.array([0])], expected[np.array([0])], "past")
            assert result.times(0)[0] == expected.times(0)[0]
        with pytest.raises(UserError, match="has no column 'date'"):
            reader.windows(frame.reset_index(drop=True))

    def test_rows_ahead_tell_what_is_known_and_no_more(self, data_of: Any) -> None:
        frame = wide(100).assign(price=np.arange(100.0), temperature=np.arange(100.0))
        data = data_of(
            frame,
            targets=["a", "b"],
            columns=Columns(future_covariates=["price"], past_covariates=["temperature"]),
        )
        ahead = frame.iloc[:90].copy()
        ahead.loc[85:, ["a", "b", "temperature"]] = np.nan
        reader, expected = restored_reader(data), data.split("test")[np.array([5])]
        result = reader.windows(ahead)[np.array([0])]
        assert_same(result, expected, "past", "past_features", "future_features")
        ahead.loc[85:, "temperature"] = 9.0
        assert_same(
            reader.windows(ahead)[np.array([0])], result, "past_features", "future_features"
        )
        with pytest.raises(
            UserError, match=r"3 rows after .* covariates \(price\) must cover .* of 4"
        ):
            reader.windows(ahead.iloc[:88])
        with pytest.raises(UserError, match="row 88: column 'price' is missing"):
            reader.windows(ahead.assign(price=ahead.price.where(ahead.index != 87)))

    def test_each_series_is_forecast_from_its_own_end(self, data_of: Any) -> None:
        frame = long(x=40, y=30)
        data = data_of(frame, calendar=["day"])
        windows = restored_reader(data).windows(frame.iloc[::-1].sort_values("ds"))
        assert windows.panel.ids == ["x", "y"] or windows.panel.ids == ["y", "x"]
        for row, name in enumerate(windows.panel.ids):
            values = frame.y[frame.unique_id == name].to_numpy()[-6:]
            batch = windows[np.array([row])]
            np.testing.assert_allclose(
                batch.past[0, :, 0] * batch.scale[0] + batch.location[0], values, rtol=1e-5
            )
            assert windows.times(row)[0] == np.datetime64(
                "2024-02-10" if name == "x" else "2024-01-31"
            )

    def test_a_series_never_seen_is_scaled_by_its_own_rows_and_told(self, data_of: Any) -> None:
        frame = long(x=40, y=30).assign(kind="k", size=2.0)
        data = data_of(frame, columns=Columns(static_covariates=["unique_id", "kind", "size"]))
        reader = restored_reader(data)
        new = long(x=40, z=20).assign(kind="other", size=7.0)
        windows = reader.windows(new)
        batch = windows[np.array([0, 1])]
        mine = new.y[new.unique_id == "z"]
        np.testing.assert_allclose(batch.location[:, 0], [data.scaler.location[0, 0], mine.mean()])
        np.testing.assert_allclose(batch.scale[1], mine.std(ddof=0), rtol=1e-5)
        assert batch.category_codes.tolist() == [[1, 0], [0, 0]]
        assert windows.notices == [
            "1 series not in the training data are scaled by their own rows: 'z'"
        ]
        with pytest.raises(UserError, match="has no column 'kind'"):
            reader.windows(new.drop(columns=["kind", "size"]))
        known = reader.windows(frame.drop(columns=["kind", "size"]))
        assert_same(
            known[np.array([1, 0])],
            data.split("test")[np.array([5, 0])],
            "static",
            "category_codes",
        )

    def test_too_few_rows_and_wrong_frames_are_named(self, data_of: Any) -> None:
        reader = restored_reader(data_of(long(x=40, y=30)))
        frame = long(x=40, y=30)
        with pytest.raises(UserError, match="5 observed rows of 'y', but input_length is 6"):
            reader.windows(frame.iloc[:45])
        with pytest.raises(UserError, match="0 observed rows of 'x'"):
            reader.windows(frame.assign(y=np.nan))
        with pytest.raises(UserError, match="row 2: 2024-01-02 00:00:00 of 'x' is duplicated"):
            reader.windows(frame.iloc[[0, 1, 1]].sort_index().iloc[[1, 2]], "it")
        with pytest.raises(UserError, match="is not a multiple of D after"):
            reader.windows(frame.assign(ds=pd.date_range("2024", periods=70, freq="9h")))
        with pytest.raises(UserError, match="the frame is empty"):
            reader.windows(frame.iloc[:0])

    def test_forecasts_come_in_the_layout_of_the_input(self, data_of: Any) -> None:
        reader = restored_reader(data_of(wide()))
        windows = reader.windows(wide())
        mean = np.arange(8.0).reshape(1, 4, 2)
        result = reader.to_frame(windows, mean, {"lower_80": mean - 1})
        assert list(result) == ["date", "a", "a_lower_80", "b", "b_lower_80"]
        assert result.a.tolist() == [0, 2, 4, 6]
        assert result.b_lower_80.tolist() == [0, 2, 4, 6]
        assert result.date[0] == pd.Timestamp("2024-01-05 04:00")
        long_reader = restored_reader(data_of(long(x=40, y=30)))
        result = long_reader.to_frame(long_reader.windows(long(x=40, y=30)), np.zeros((2, 4, 1)))
        assert list(result) == ["unique_id", "ds", "y"]
        assert result.unique_id.tolist() == ["x"] * 4 + ["y"] * 4
        numbers = restored_reader(data_of(wide(), columns=Columns(time="none"), targets=["a", "b"]))
        result = numbers.to_frame(numbers.windows(wide()), mean)
        assert result.row.tolist() == [100, 101, 102, 103]

    def test_a_frame_that_begins_elsewhere_gives_the_same_window(self, data_of: Any) -> None:
        frame = wide(100)
        reader = restored_reader(data_of(frame, calendar=["hour"]))
        expected = reader.windows(frame)[np.array([0])]
        assert_same(reader.windows(frame.iloc[-6:])[np.array([0])], expected, *WindowBatch._fields)
