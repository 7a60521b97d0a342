import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rnn_lab.errors import UserError
from rnn_lab.io import tables as frames
from rnn_lab.io.tables import as_chunks, read_frames
from rnn_lab.tasks.forecasting.panel.builder import read_panel
from rnn_lab.tasks.forecasting.panel.frequency import DAY, Frequency, calendar_features
from rnn_lab.tasks.forecasting.panel.panel import Panel, PanelConfig

WIDE: dict[str, Any] = {"time_column": "date"}
LONG: dict[str, Any] = {"time_column": "ds", "id_column": "unique_id", "targets": ["y"]}


def panel_of(frame: pd.DataFrame, **config: Any) -> Panel:
    return read_panel(lambda: as_chunks(frame, "it"), PanelConfig(**config))


def wide(rows: int = 8, freq: str = "h", begin: str = "2024-01-01") -> pd.DataFrame:
    dates = pd.date_range(begin, periods=rows, freq=freq).astype(str)
    return pd.DataFrame({"date": dates, "a": np.arange(rows) + 0.5, "b": np.arange(rows)[::-1]})


def long(**lengths: int) -> pd.DataFrame:
    """Series of days, each beginning a day after the one before."""
    parts = [
        pd.DataFrame(
            {
                "unique_id": name,
                "ds": pd.date_range(f"2024-01-{n}", periods=length).astype(str),
                "y": np.arange(length) + 100 * n,
            }
        )
        for n, (name, length) in enumerate(lengths.items(), 1)
    ]
    return pd.concat(parts, ignore_index=True)


def test_a_wide_table_is_one_series_of_all_its_numbers() -> None:
    frame = wide()
    panel = panel_of(frame, **WIDE)
    assert (panel.ids, panel.targets, panel.freq) == ([""], ["a", "b"], "h")
    np.testing.assert_array_equal(panel.values, frame[["a", "b"]].to_numpy(np.float32))
    assert panel.offsets.tolist() == [0, 8]
    assert panel.notices == []


def test_rows_of_several_series_may_be_mixed() -> None:
    frame = long(x=5, y=3, z=7)
    mixed = frame.sort_values(["ds", "unique_id"], ascending=[True, False])
    panel = panel_of(mixed, **LONG)
    assert panel.lengths[[panel.ids.index(name) for name in "xyz"]].tolist() == [5, 3, 7]
    for n, name in enumerate("xyz", 1):
        series = panel.ids.index(name)
        rows = panel.values[panel.offsets[series] : panel.offsets[series + 1], 0]
        np.testing.assert_array_equal(rows, frame.y[frame.unique_id == name])
        assert panel.times(series, 0, 1)[0] == np.datetime64(f"2024-01-0{n}")


@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
def test_the_size_of_chunks_changes_nothing(
    at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = long(x=5, y=3, z=7).sample(frac=1, random_state=0).sort_values("ds", kind="stable")
    table = table[(table.unique_id != "z") | (table.ds != "2024-01-05")]
    table.to_csv(tmp_path / "it.csv", index=False)
    whole = panel_of(table, **LONG)
    monkeypatch.setattr(frames, "CHUNK_ROWS", at_once)
    panel = read_panel(lambda: read_frames(tmp_path / "it.csv"), PanelConfig(**LONG))
    np.testing.assert_array_equal(panel.values, whole.values)
    assert panel.ids == whole.ids
    assert (
        panel.notices
        == whole.notices
        == ["1 rows are missing, the first is 2024-01-05 00:00:00 of 'z'"]
    )


FREQS = ["h", "15min", "D", "7D", "B", "MS", "ME", "3MS", "3ME", "12MS", "90s", "250ms"]


@pytest.mark.parametrize("freq", FREQS)
def test_the_frequency_is_inferred_and_times_go_on_by_it(freq: str) -> None:
    begin = "2024-01-31" if freq.endswith("ME") else "2024-01-01"
    dates = pd.date_range(begin, periods=40, freq=freq)
    frame = pd.DataFrame({"date": dates[:30], "a": 1.0})
    panel = panel_of(frame, **WIDE)
    assert panel.freq == freq
    np.testing.assert_array_equal(panel.times(0, 0, 40), dates.to_numpy("datetime64[ns]"))
    given = panel_of(frame, **WIDE, freq=freq)
    np.testing.assert_array_equal(given.values, panel.values)


@pytest.mark.parametrize(
    ("freq", "season"),
    [("h", 24), ("15min", 96), ("D", 7), ("B", 5), ("MS", 12), ("QE", 4), ("YS", 1), ("W", 1)],
)
def test_the_season_is_told_by_the_frequency(freq: str, season: int) -> None:
    assert Frequency.parse(freq).season_length == season


def test_a_few_days_without_a_weekend_are_days() -> None:
    assert panel_of(wide(5, "D", "2024-01-01"), **WIDE).freq == "D"
    assert panel_of(wide(6, "B", "2024-01-01"), **WIDE).freq == "B"


def test_months_of_unlike_lengths_are_equal_steps() -> None:
    panel = panel_of(wide(14, "ME", "2023-11-30"), **WIDE)
    assert panel.freq == "ME"
    assert panel.times(0, 3, 2).astype("datetime64[D]").astype(str).tolist() == [
        "2024-02-29",
        "2024-03-31",
    ]


@pytest.mark.parametrize("step", [1, 5])
def test_integers_are_times_of_their_own(step: int) -> None:
    frame = pd.DataFrame({"date": 3 + step * np.arange(4), "a": range(4)})
    panel = panel_of(frame, **WIDE)
    assert panel.freq == ("" if step == 1 else "5")
    assert panel.times(0, 3, 2).tolist() == [3 + 3 * step, 3 + 4 * step]


def test_rows_are_numbered_where_there_are_no_times() -> None:
    frame = long(x=3, y=2).drop(columns="ds").iloc[[0, 3, 1, 4, 2]]
    panel = panel_of(frame, id_column="unique_id")
    assert panel.values[:, 0].tolist() == [100, 101, 102, 200, 201]
    assert panel.times(1, 1, 2).tolist() == [1, 2]


def test_times_with_a_zone_are_read_as_utc() -> None:
    frame = wide(3)
    frame.date = ["2024-03-31T00:00+01:00", "2024-03-31T01:00+01:00", "2024-03-31T03:00+02:00"]
    panel = panel_of(frame, **WIDE)
    assert panel.freq == "h"
    assert panel.times(0, 0, 1)[0] == np.datetime64("2024-03-30T23:00")


def test_missing_rows_and_values_stay_missing_and_rows_are_counted() -> None:
    frame = wide(8).drop(index=[3, 4])
    frame.loc[6, "a"] = np.nan
    panel = panel_of(frame, **WIDE)
    assert np.isnan(panel.values).nonzero()[0].tolist() == [3, 3, 4, 4, 6]
    assert panel.notices == ["2 rows are missing, the first is 2024-01-01 03:00:00"]


def test_columns_lie_in_the_order_targets_known_calendar_observed() -> None:
    frame = wide(4).assign(price=[4, 3, 2, 1], holiday=["no", "yes", "no", "no"])
    panel = panel_of(
        frame,
        **WIDE,
        targets=["b"],
        future_covariates=["holiday", "price"],
        past_covariates=["a"],
        calendar=["hour"],
    )
    assert panel.future_covariates == ["holiday=no", "holiday=yes", "price", "hour"]
    assert panel.categories == {"holiday": ["no", "yes"]}
    hours = np.arange(4) / 23 - 0.5
    expected = [frame.b, [1, 0, 1, 1], [0, 1, 0, 0], frame.price, hours, frame.a]
    np.testing.assert_allclose(panel.values, np.stack(expected, 1), rtol=1e-6)
    assert panel.numeric.tolist() == [True, False, False, True, False, True]


def test_statics_are_numbers_or_categories_of_a_series() -> None:
    frame = long(x=3, y=2)
    frame["size"] = frame.unique_id.map({"x": 1.5, "y": 2.5})
    frame["kind"] = frame.unique_id.map({"x": "shop", "y": "depot"})
    panel = panel_of(frame, **LONG, static_covariates=["unique_id", "size", "kind"])
    assert panel.static.tolist() == [[1.5], [2.5]]
    assert panel.category_codes.tolist() == [[1, 2], [2, 1]]
    assert panel.static_categories == [["x", "y"], ["depot", "shop"]]


def test_levels_that_were_not_learned_are_unknown() -> None:
    frame = long(x=3).assign(kind="new", event=["a", "b", "a"])
    config = PanelConfig(**LONG, static_covariates=["kind"], future_covariates=["event"])
    categories = {"kind": ["old"], "event": ["a"]}
    panel = read_panel(lambda: as_chunks(frame), config, categories=categories)
    assert panel.category_codes.tolist() == [[0]]
    assert panel.values[:, 1].tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("name", "attribute", "first", "last"),
    [
        ("minute", "minute", 0, 59),
        ("hour", "hour", 0, 23),
        ("weekday", "day_of_week", 0, 6),
        ("day", "day", 1, 31),
        ("week", "", 1, 53),
        ("month", "month", 1, 12),
        ("dayofyear", "day_of_year", 1, 366),
    ],
)
def test_calendar_features_are_those_of_pandas(
    name: str, attribute: str, first: int, last: int
) -> None:
    dates = pd.date_range("2019-12-20 00:30", periods=3000, freq="7h13min")
    given = getattr(dates, attribute) if attribute else dates.isocalendar().week
    wanted = (np.asarray(given, np.float64) - first) / (last - first) - 0.5
    times = dates.to_numpy("datetime64[ns]").astype(np.int64)
    np.testing.assert_allclose(calendar_features([name], times)[:, 0], wanted, atol=1e-6)


def test_places_and_times_are_inverse_also_before_the_begin() -> None:
    for freq in ("h", "B", "MS", "3ME"):
        frequency = Frequency.parse(freq)
        begin = frequency.to_timestamp(np.int64(19_000 * DAY), np.int64(0))
        places = np.arange(-50, 50)
        found, exact = frequency.to_index(begin, frequency.to_timestamp(begin, places))
        assert exact.all()
        np.testing.assert_array_equal(found, places)


@pytest.mark.parametrize("name", ["it.csv", "it.csv.gz", "it.tsv", "it.parquet"])
def test_formats_give_the_same(name: str, tmp_path: Path) -> None:
    frame, path = long(x=5, y=3), tmp_path / name
    if name.endswith("parquet"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if "tsv" in name else ",")
    panel = read_panel(lambda: read_frames(path), PanelConfig(**LONG))
    np.testing.assert_array_equal(panel.values, panel_of(frame, **LONG).values)


def test_a_saved_panel_is_the_same_in_memory_and_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = long(x=5, y=3).assign(kind="k", price=1.0)
    config = PanelConfig(
        **LONG, static_covariates=["kind"], future_covariates=["price"], calendar=["day"]
    )
    made = read_panel(lambda: as_chunks(frame), config, tmp_path)
    opened = Panel.open(tmp_path)
    monkeypatch.setattr("rnn_lab.tasks.forecasting.panel.panel.MAX_IN_MEMORY", 0)
    mapped = Panel.open(tmp_path)
    assert isinstance(mapped.values, np.memmap)
    assert not isinstance(opened.values, np.memmap)
    for panel in (opened, mapped):
        for name, value in vars(made).items():
            np.testing.assert_array_equal(getattr(panel, name), value)


def changed(frame: pd.DataFrame, row: int, column: str, value: Any) -> pd.DataFrame:
    return frame.astype({column: object}).pipe(
        lambda f: f.assign(**{column: [value if i == row else x for i, x in enumerate(f[column])]})
    )


def fails(frame: pd.DataFrame, message: str, **config: Any) -> None:
    with pytest.raises(UserError, match=message) as error:
        panel_of(frame, **config)
    assert "\n" not in str(error.value)


def test_what_is_wrong_with_times_is_named() -> None:
    frame = wide(6)
    fails(
        frame.iloc[[0, 2, 1, 3]],
        r"row 3: 2024-01-01 01:00:00 follows .* 02:00:00: sort",
        **WIDE,
    )
    fails(frame.iloc[[0, 1, 1, 2]], "row 3: 2024-01-01 01:00:00 is duplicated", **WIDE)
    fails(changed(frame, 2, "date", "soon"), "row 3: the time 'soon' in 'date' cannot", **WIDE)
    fails(changed(frame, 2, "date", None), "row 3: the time in 'date' is missing", **WIDE)
    off = changed(frame, 2, "date", "2024-01-01 01:40")
    fails(off, "row 2: 2024-01-01 01:00:00 is not a multiple of 40min after", **WIDE)
    fails(off, "row 3: .* is not a multiple of h after 2024-01-01 00:00:00", **WIDE, freq="h")
    fails(frame.iloc[:1], "cannot infer the frequency of it: each series has a single row", **WIDE)
    fails(frame.assign(date=1.5), "row 1: the time '1.5' in 'date' cannot be parsed", **WIDE)
    fails(frame, "the times of it are timestamps, expected numbers", **WIDE, freq="2")
    numbers = frame.assign(date=range(6))
    fails(
        numbers, "the times of it are numbers, expected timestamps of frequency h", **WIDE, freq="h"
    )
    fails(
        numbers, "calendar features need timestamps, but it has numbers", **WIDE, calendar=["hour"]
    )
    fails(frame, "unknown freq 'often'", **WIDE, freq="often")
    fails(frame, "freq must be a positive multiple, got '0h'", **WIDE, freq="0h")


def test_series_of_unlike_steps_are_named() -> None:
    frame = long(x=9, y=9)
    frame.loc[9:, "ds"] = pd.date_range("2024-01-01", periods=9, freq="3D").astype(str)
    fails(frame, "it has only 9 of 25 rows at freq D of 'y': the steps are irregular", **LONG)


def test_what_is_wrong_with_values_is_named() -> None:
    frame = wide(4)
    text = changed(frame, 2, "a", "n/k")
    fails(text, "row 3: column 'a' contains 'n/k', expected a number", **WIDE)
    fails(frame.assign(a="x"), "row 1: column 'a' contains 'x'", **WIDE, targets=["a"])
    fails(frame.assign(a=pd.Timestamp(0)), "column 'a' contains '1970", **WIDE, targets=["a"])
    fails(changed(frame, 1, "b", np.inf), "row 2: column 'b' is inf, expected a finite", **WIDE)
    fails(changed(frame, 1, "b", 1e60), r"row 2: column 'b' is 1e\+60, expected a finite", **WIDE)
    fails(frame, "it has no column 'c'; it has: date, a, b", **WIDE, targets=["c"])
    fails(frame[["date"]], "it has no numeric column to forecast", **WIDE)
    fails(frame.iloc[:0], "it is empty", **WIDE)
    missing = changed(frame, 1, "b", None)
    fails(missing, "row 2: column 'b' is missing", **WIDE, targets=["a"], future_covariates=["b"])
    gap = frame.drop(index=2)
    fails(
        gap,
        r"no row for 2024-01-01 02:00:00: future covariates \(b\) must",
        **WIDE,
        targets=["a"],
        future_covariates=["b"],
    )


def test_what_is_wrong_with_series_is_named() -> None:
    frame = long(x=3, y=3).assign(size=1)
    moves = changed(frame, 4, "size", 2)
    fails(
        moves,
        r"row 5: static covariate 'size' of 'y' changes from 1\.0 to 2\.0",
        **LONG,
        static_covariates=["size"],
    )
    lost = changed(frame, 4, "unique_id", None)
    fails(lost, "row 5: column 'unique_id' is missing", **LONG)
    late = frame.iloc[[0, 3, 4, 2, 1, 5]]
    fails(late, "row 5: 2024-01-02 00:00:00 of 'x' follows 2024-01-03", **LONG)


def test_columns_of_no_numbers_are_left_out_and_told() -> None:
    panel = panel_of(wide(4).assign(station="north"), **WIDE)
    assert panel.targets == ["a", "b"]
    assert panel.notices == ["ignored columns that are not numeric: station"]


def test_wrong_settings_are_named() -> None:
    with pytest.raises(UserError, match="column 'a' has two roles"):
        PanelConfig("date", targets=["a"], future_covariates=["a"])
    with pytest.raises(UserError, match="column 'date' has two roles"):
        PanelConfig("date", "date")
    with pytest.raises(
        UserError, match="unknown calendar feature 'moon': choose from minute, hour"
    ):
        PanelConfig("date", calendar=["moon"])
    with pytest.raises(UserError, match="calendar features need timestamps"):
        PanelConfig(calendar=["hour"])
    assert PanelConfig("date", "id", static_covariates=["id"]).static_covariates == ["id"]


def broken(path: Path, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_panel(lambda: read_frames(path), PanelConfig(**WIDE))


def test_files_that_are_no_tables_are_named(tmp_path: Path) -> None:
    path = tmp_path / "it.csv"
    broken(path, r"it\.csv does not exist")
    broken(tmp_path / "it.xlsx", "cannot infer the format of .*: expected .csv, .tsv or .parquet")
    path.write_bytes(b"")
    broken(path, r"it\.csv is empty")
    path.write_bytes(b"date,a\n")
    broken(path, r"it\.csv is empty")
    path.write_bytes(b"date,a\n2024-01-01,1\n2024-01-02,caf\xe9\n")
    broken(path, r"it\.csv is not utf-8 \(byte 0xe9\)")
    path.write_bytes(b"date,a\n2024-01-01,1\n2024-01-02,1,5\n")
    broken(path, r"it\.csv is not a table: ")
    (tmp_path / "it.csv.gz").write_bytes(gzip.compress(b"date,a\n" * 9000)[:-20])
    broken(tmp_path / "it.csv.gz", r"it\.csv\.gz is truncated or damaged")
    (tmp_path / "it.parquet").write_bytes(b"PAR1 and no more")
    broken(tmp_path / "it.parquet", r"it\.parquet is not a Parquet file")


def test_a_mistake_in_a_later_chunk_is_named_by_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "CHUNK_ROWS", 2)
    path = tmp_path / "it.csv"
    changed(wide(7), 5, "a", "bad").to_csv(path, index=False)
    broken(path, r"it\.csv row 6: column 'a' contains 'bad'")
    changed(wide(7), 4, "date", "2024-01-01 03:00:00").to_csv(path, index=False)
    broken(path, r"it\.csv row 5: 2024-01-01 03:00:00 is duplicated")
    changed(wide(5).assign(date=range(5)), 4, "date", "2024-01-01").to_csv(path, index=False)
    broken(path, r"it\.csv row 5: column 'date' mixes numbers and timestamps")
