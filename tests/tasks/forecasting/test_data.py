import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from rnn_lab.datamodules import (
    ETTh1,
    ETTh2,
    ETTm1,
    ETTm2,
    ExchangeRate,
    ForecastingFiles,
    SyntheticSeries,
)
from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.data import ForecastDataModule
from rnn_lab.tasks.forecasting.datasets import BenchmarkSeries
from rnn_lab.tasks.forecasting.files import Columns
from rnn_lab.tasks.forecasting.reader import SeriesReader
from rnn_lab.tasks.forecasting.windows import Windows

KNOWN = (ETTh1, ETTh2, ETTm1, ETTm2, ExchangeRate)
SPLITS = ("train", "valid", "test")
SMALL: dict[str, Any] = {"input_length": 6, "horizon": 4}


def wide(rows: int = 100, freq: str = "h") -> pd.DataFrame:
    rng = np.random.default_rng(0)
    dates = pd.date_range("2024-01-01", periods=rows, freq=freq).astype(str)
    return pd.DataFrame({"date": dates, "a": rng.normal(5, 2, rows), "b": rng.normal(0, 9, rows)})


def long(**lengths: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame(
            {
                "unique_id": name,
                "ds": pd.date_range("2024-01-01", periods=rows).astype(str),
                "y": rng.normal(10 * n, 1 + n, rows),
            }
        )
        for n, (name, rows) in enumerate(lengths.items())
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def data_of(tmp_path: Path) -> Any:
    """Write a frame as a file and open it."""

    def made(frame: pd.DataFrame, **options: Any) -> ForecastingFiles:
        path = tmp_path / "it.csv"
        frame.to_csv(path, index=False)
        return ForecastingFiles(str(path), **{**SMALL, **options})

    return made


def saved(data: ForecastDataModule) -> SeriesReader:
    """Bring the reader of a module through a checkpoint."""
    file = io.BytesIO()
    torch.save(data.build_spec(), file)
    file.seek(0)
    return SeriesReader.from_state_dict(torch.load(file, weights_only=True)["series"])


def same(one: WindowBatch, other: WindowBatch, *parts: str) -> None:
    for part in parts:
        torch.testing.assert_close(
            getattr(one, part), getattr(other, part), rtol=0, atol=0, equal_nan=True
        )


@pytest.mark.slow
def test_importing_data_loads_no_pandas() -> None:
    code = "import sys, rnn_lab.datamodules; assert not {'pandas', 'pyarrow'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_splits_follow_each_other_and_sizes_are_told(data_of: Any) -> None:
    data = data_of(wide(100), calendar=["hour"])
    assert [len(data.split(name)) for name in SPLITS] == [70 - 9, 10 - 3, 20 - 3]
    origins = [data.split(name).origin(np.array([0]))[1][0] for name in SPLITS]
    assert origins == [6, 70, 80]
    assert (data.channels, data.input_dim, data.output_dim) == (2, 3, 8)
    assert data.covariates == {"future_dim": 1, "static_dim": 0, "category_sizes": []}
    assert data.season_length == 24
    batch = data.split("valid")[np.array([0])]
    assert isinstance(batch, WindowBatch)
    assert [part.shape[1:] for part in batch[:4]] == [(6, 2), (4, 2), (6, 1), (4, 1)]


@pytest.mark.parametrize("split", [[60, 20, 15], ["2024-01-03 12:00", "2024-01-04 08:00"]])
def test_splits_part_at_rows_or_times(data_of: Any, split: Any) -> None:
    data = data_of(wide(100), split=split)
    origins = [data.split(name).origin(np.array([0]))[1][0] for name in SPLITS]
    assert origins == [6, 60, 80]
    assert len(data.split("test")) == (15 if isinstance(split[0], int) else 20) - 3


@pytest.mark.parametrize(
    ("freq", "time", "row"),
    [
        ("h", "2024-01-02 00:30", 25),
        ("MS", "2024-03-15", 3),
        ("B", "2024-01-06", 5),
        ("D", "2020", 0),
    ],
)
def test_a_time_between_rows_parts_before_the_next(
    data_of: Any, freq: str, time: str, row: int
) -> None:
    assert data_of(wide(100, freq), split=[time, "2200"])._rows["valid"][0, 0] == row


@pytest.mark.parametrize(
    "split", [[0.5, 0.5], [0.5, 0.2, 0.2], [1.5, -0.3, -0.2], ["a", "b", "c"], [1], []]
)
def test_splits_that_say_nothing_are_named(split: Any) -> None:
    with pytest.raises(UserError, match=r"invalid split \[.*\]: pass three fractions"):
        SyntheticSeries(split=split)


@pytest.mark.parametrize("time", ["soon", "20240101", 3])
def test_a_split_at_no_time_is_named(data_of: Any, time: Any) -> None:
    with pytest.raises(
        UserError, match=r"invalid time .* in split: expected a time such as 2024-01-31"
    ):
        data_of(wide(), split=[time, "2025"]).split("train")


def test_wrong_sizes_are_named() -> None:
    with pytest.raises(UserError, match="horizon must be at least 1, got 0"):
        SyntheticSeries(horizon=0)
    with pytest.raises(UserError, match="season_length must be at least 1, got 0"):
        SyntheticSeries(season_length=0)
    with pytest.raises(UserError, match="scaling must be standard or none, got 'robust'"):
        SyntheticSeries(scaling="robust")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="length must be at least 1, got 0"):
        SyntheticSeries(0).split("train")
    with pytest.raises(UserError, match="ForecastingFiles requires a file"):
        ForecastingFiles()


def test_a_split_too_short_for_a_window_is_named(data_of: Any) -> None:
    data = data_of(wide(30), split=[9, 3, 18])
    with pytest.raises(
        UserError, match=r"the train split of ForecastingFiles has 9 rows, .* needs 10 rows"
    ):
        data.split("train")
    with pytest.raises(
        UserError, match=r"the valid split of ForecastingFiles has 3 rows, .* horizon=4"
    ):
        data.split("valid")
    assert len(data.split("test")) == 15
    with pytest.raises(UserError, match="has no split 'other', only train, valid, test"):
        data.split("other")


def test_a_series_too_short_is_left_out_of_training_and_told(
    data_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    data = data_of(long(x=40, tiny=9, y=30), split=[0.6, 0.2, 0.2])
    with caplog.at_level("INFO"):
        windows = data.split("train")
    assert np.bincount(windows.origin(np.arange(len(windows)))[0]).tolist() == [24 - 9, 0, 18 - 9]
    assert "1 series are too short to train on, first 'tiny'" in caplog.text


def test_long_tables_are_known_by_their_columns(data_of: Any) -> None:
    data = data_of(long(x=40, y=30).assign(other=1.0))
    assert (data.panel.ids, data.panel.targets) == (["x", "y"], ["y"])
    assert data_of(long(x=40).assign(other=1.0), targets=["other"]).panel.targets == ["other"]


def test_the_column_of_times_is_known_by_name_or_by_content(data_of: Any) -> None:
    frame = wide()
    assert data_of(frame.rename(columns={"date": "Time"})).panel.config.time_column == "Time"
    assert data_of(frame.rename(columns={"date": "when"})).panel.freq == "h"
    numbered = data_of(frame.drop(columns="date"), columns=Columns(time="none"))
    assert numbered.panel.config.time_column is None
    with pytest.raises(
        UserError, match=r"has no column of timestamps .*: set --data.columns.time=NAME"
    ):
        data_of(frame.drop(columns="date")).split("train")


def test_a_file_is_prepared_once_and_anew_when_it_changes(
    data_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = data_of(wide()).panel
    with monkeypatch.context() as patch:
        patch.setattr("rnn_lab.tasks.forecasting.files.read_panel", None)
        np.testing.assert_array_equal(data_of(wide()).panel.values, first.values)
    assert len(data_of(wide(90)).panel.values) == 90


def test_a_mapped_file_gives_the_batches_of_one_in_memory(
    data_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, rows = long(x=40, y=30).assign(price=1.5, more=2.5), np.array([3, 0, 11])
    options = {"columns": Columns(future_covariates=["price"], past_covariates=["more"])}
    held = data_of(frame, calendar=["day"], **options).split("train")
    monkeypatch.setattr("rnn_lab.tasks.forecasting.panel.panel.MAX_IN_MEMORY", 0)
    mapped = data_of(frame, calendar=["day"], **options).split("train")
    assert held.flat.scaled
    assert not mapped.flat.scaled
    same(held[rows], mapped[rows], *WindowBatch._fields)


def test_nothing_after_training_changes_what_training_sees(data_of: Any) -> None:
    frame = wide(100)
    before = data_of(frame)
    kept = before.split("train")[np.arange(61)], before.scaler.state_dict()
    frame.loc[70:, ["a", "b"]] *= -1e3
    after = data_of(frame)
    same(after.split("train")[np.arange(61)], kept[0], *WindowBatch._fields)
    assert after.scaler.state_dict() == kept[1]


def test_training_goes_on_in_the_middle_of_an_epoch() -> None:
    def batches(data: ForecastDataModule) -> Any:
        loader = data.train_dataloader()
        loader.sampler.set_epoch(3)  # type: ignore[attr-defined]
        return (batch.rows.tolist() for batch in loader)

    data = SyntheticSeries(length=400)
    whole = list(batches(data))
    some = batches(data)
    assert [next(some) for _ in range(3)] == whole[:3]
    other = SyntheticSeries(length=400)
    other.load_state_dict(data.state_dict())
    assert list(batches(other)) == whole[3:]


def test_evaluation_reads_every_window_once_in_order() -> None:
    data = SyntheticSeries()
    rows = torch.cat([batch.rows for batch in data.test_dataloader()])
    assert rows.tolist() == list(range(len(data.split("test"))))
    assert np.concatenate(data.plan("test")).tolist() == rows.tolist()
    assert data.eval_batch_size == 256
    assert SyntheticSeries(batch_size=512).eval_batch_size == 512


def test_generated_series_have_a_season_and_depend_on_the_seed_alone() -> None:
    def drawn(seed: int) -> np.ndarray:
        return SyntheticSeries(1000, data_seed=seed).panel.values

    np.testing.assert_array_equal(drawn(0), drawn(0))
    assert not np.array_equal(drawn(0), drawn(1))
    data = SyntheticSeries()
    assert (data.season_length, data.panel.freq, data.input_dim) == (24, "h", 3)
    batch = data.split("test")[np.arange(500)]
    last, day = batch.past[:, -1:] - batch.future, batch.past[:, -24:] - batch.future
    assert day.square().mean() < last.square().mean()


class TestReader:
    """What a checkpoint reads, and what it writes."""

    def test_the_window_ends_with_the_last_row_and_is_that_of_the_file(self, data_of: Any) -> None:
        frame = wide(100)
        data = data_of(frame, calendar=["hour", "weekday"], split=[50, 20, 30])
        windows = saved(data).windows(frame.iloc[:75, [2, 0, 1]])
        made, wanted = windows[np.array([0])], data.split("valid")
        row = np.array([25])
        assert wanted.origin(row)[1] == 75 > 70 - 4  # it is read beyond its split
        test = data.split("test")[np.array([5])]
        same(
            made, test, "past", "past_features", "future_features", "location", "scale", "naive_mae"
        )
        assert made.future.isnan().all()
        assert windows.times(0)[0] == np.datetime64("2024-01-04T03:00")

    def test_times_may_be_the_index(self, data_of: Any) -> None:
        frame = wide()
        reader = saved(data_of(frame))
        wanted = reader.windows(frame)
        frame.index = pd.DatetimeIndex(frame.pop("date"), name=None)
        for name in (None, "date"):
            made = reader.windows(frame.rename_axis(index=name))
            same(made[np.array([0])], wanted[np.array([0])], "past")
            assert made.times(0)[0] == wanted.times(0)[0]
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
        reader, wanted = saved(data), data.split("test")[np.array([5])]
        made = reader.windows(ahead)[np.array([0])]
        same(made, wanted, "past", "past_features", "future_features")
        ahead.loc[85:, "temperature"] = 9.0
        same(reader.windows(ahead)[np.array([0])], made, "past_features", "future_features")
        with pytest.raises(
            UserError, match=r"3 rows after .* covariates \(price\) must cover .* of 4"
        ):
            reader.windows(ahead.iloc[:88])
        with pytest.raises(UserError, match="row 88: column 'price' is missing"):
            reader.windows(ahead.assign(price=ahead.price.where(ahead.index != 87)))

    def test_each_series_is_forecast_from_its_own_end(self, data_of: Any) -> None:
        frame = long(x=40, y=30)
        data = data_of(frame, calendar=["day"])
        windows = saved(data).windows(frame.iloc[::-1].sort_values("ds"))
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
        reader = saved(data)
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
        same(
            known[np.array([1, 0])],
            data.split("test")[np.array([5, 0])],
            "static",
            "category_codes",
        )

    def test_too_few_rows_and_wrong_frames_are_named(self, data_of: Any) -> None:
        reader = saved(data_of(long(x=40, y=30)))
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
        reader = saved(data_of(wide()))
        windows = reader.windows(wide())
        mean = np.arange(8.0).reshape(1, 4, 2)
        made = reader.to_frame(windows, mean, {"lower_80": mean - 1})
        assert list(made) == ["date", "a", "a_lower_80", "b", "b_lower_80"]
        assert made.a.tolist() == [0, 2, 4, 6]
        assert made.b_lower_80.tolist() == [0, 2, 4, 6]
        assert made.date[0] == pd.Timestamp("2024-01-05 04:00")
        long_reader = saved(data_of(long(x=40, y=30)))
        made = long_reader.to_frame(long_reader.windows(long(x=40, y=30)), np.zeros((2, 4, 1)))
        assert list(made) == ["unique_id", "ds", "y"]
        assert made.unique_id.tolist() == ["x"] * 4 + ["y"] * 4
        numbers = saved(data_of(wide(), columns=Columns(time="none"), targets=["a", "b"]))
        made = numbers.to_frame(numbers.windows(wide()), mean)
        assert made.row.tolist() == [100, 101, 102, 103]

    def test_a_frame_that_begins_elsewhere_gives_the_same_window(self, data_of: Any) -> None:
        frame = wide(100)
        reader = saved(data_of(frame, calendar=["hour"]))
        whole = reader.windows(frame)[np.array([0])]
        same(reader.windows(frame.iloc[-6:])[np.array([0])], whole, *WindowBatch._fields)


def test_the_recipe_says_how_to_build_the_module_but_not_where_its_file_is(data_of: Any) -> None:
    recipe = data_of(wide(), calendar=["hour"]).build_spec()
    assert recipe["class_path"].endswith(".ForecastingFiles")
    assert recipe["init_args"]["calendar"] == ["hour"]
    assert not {"file", "root"} & recipe["init_args"].keys()


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.__name__)
def test_every_dataset_states_its_source_and_its_licence(known: type[BenchmarkSeries]) -> None:
    words = known.__doc__ or ""
    assert "Source: " in words
    assert "license" in words
    assert known.file.urls


def test_a_file_that_lacks_rows_is_named(tmp_path: Path) -> None:
    (tmp_path / "ett").mkdir()
    columns = pd.DataFrame(1.0, index=range(5), columns=ETTh2.columns)
    columns.insert(0, "date", pd.date_range("2024-01-01", periods=5, freq="h"))
    columns.to_csv(tmp_path / "ett/ETTh2.csv", index=False)
    with pytest.raises(UserError, match=r"ETTh2 must have 17420 rows, but .*ETTh2\.csv has 5"):
        ETTh2(root=str(tmp_path)).split("train")


def errors(windows: Windows, period: int) -> tuple[float, float]:
    """Squared and absolute error of what lies a period back, in scaled units over all windows."""
    batch = windows[np.arange(len(windows))]
    times = -(-batch.future.shape[1] // period)
    forecast = batch.past[:, -period:].repeat(1, times, 1)[:, : batch.future.shape[1]]
    apart = (forecast - batch.future).double()
    return float(apart.square().mean()), float(apart.abs().mean())


@pytest.mark.data
@pytest.mark.parametrize("horizon", [96, 192, 336, 720])
@pytest.mark.parametrize("input_length", [96, 336])
def test_etth1_has_the_windows_of_the_protocol(
    data_root: Path, input_length: int, horizon: int
) -> None:
    data = ETTh1(input_length, horizon, root=str(data_root))
    sizes = [len(data.split(name)) for name in SPLITS]
    assert sizes == [8640 - input_length - horizon + 1, 2881 - horizon, 2881 - horizon]


@pytest.mark.data
def test_naive_forecasts_of_etth1_have_their_known_errors(data_root: Path) -> None:
    data = ETTh1(root=str(data_root))
    assert (data.season_length, data.channels) == (24, 7)
    test = data.split("test")
    assert errors(test, 1) == pytest.approx((1.294, 0.713), abs=5e-4)
    assert errors(test, 24) == pytest.approx((0.512, 0.433), abs=5e-4)


@pytest.mark.data
def test_naive_forecasts_of_ettm1_and_exchange_rates_have_their_known_errors(
    data_root: Path,
) -> None:
    data = ETTm1(root=str(data_root))
    assert (data.season_length, len(data.split("test"))) == (96, 11_425)
    assert errors(data.split("test"), 1) == pytest.approx((1.214, 0.665), abs=5e-4)
    rates = ExchangeRate(root=str(data_root))
    assert [len(rates.split(name)) for name in SPLITS] == [5120, 665, 1422]
    assert errors(rates.split("test"), 1) == pytest.approx((0.081, 0.196), abs=5e-4)


@pytest.mark.data
def test_one_channel_of_etth1_has_its_known_errors(data_root: Path) -> None:
    data = ETTh1(targets=["OT"], root=str(data_root))
    assert errors(data.split("test"), 1) == pytest.approx((0.069, 0.203), abs=5e-4)


def test_a_split_of_more_rows_than_there_are_is_refused():
    data = SyntheticSeries(100, 1, input_length=4, horizon=2, split=[80, 10, 20])
    with pytest.raises(UserError, match="needs 110 rows, but the longest series has 100"):
        data.split("train")
