"""Panels of tables: rows, columns and formats."""

from pathlib import Path

import numpy as np
import pytest
from panel_tables import LONG, WIDE, long, panel_of, wide

from rnn_lab.io import parquet
from rnn_lab.io.tables import as_chunks, read_frames
from rnn_lab.tasks.forecasting.panel.builder import read_panel
from rnn_lab.tasks.forecasting.panel.panel import PanelConfig


def test_a_wide_table_is_one_series_of_all_numeric_columns() -> None:
    frame = wide()
    panel = panel_of(frame, **WIDE)
    assert (panel.ids, panel.targets, panel.freq) == ([""], ["a", "b"], "h")
    np.testing.assert_array_equal(panel.values, frame[["a", "b"]].to_numpy(np.float32))
    assert panel.offsets.tolist() == [0, 8]
    assert panel.notices == []


def test_rows_of_several_series_may_be_interleaved() -> None:
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
def test_the_result_does_not_depend_on_the_chunk_size(
    at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = long(x=5, y=3, z=7).sample(frac=1, random_state=0).sort_values("ds", kind="stable")
    table = table[(table.unique_id != "z") | (table.ds != "2024-01-05")]
    table.to_csv(tmp_path / "it.csv", index=False)
    expected = panel_of(table, **LONG)
    monkeypatch.setattr(parquet, "CHUNK_ROWS", at_once)
    panel = read_panel(lambda: read_frames(tmp_path / "it.csv"), PanelConfig(**LONG))
    np.testing.assert_array_equal(panel.values, expected.values)
    assert panel.ids == expected.ids
    assert (
        panel.notices
        == expected.notices
        == ["1 rows are missing, the first is 2024-01-05 00:00:00 of 'z'"]
    )


def test_rows_are_numbered_without_a_time_column() -> None:
    frame = long(x=3, y=2).drop(columns="ds").iloc[[0, 3, 1, 4, 2]]
    panel = panel_of(frame, id_column="unique_id")
    assert panel.values[:, 0].tolist() == [100, 101, 102, 200, 201]
    assert panel.times(1, 1, 2).tolist() == [1, 2]


def test_times_with_a_time_zone_are_converted_to_utc() -> None:
    frame = wide(3)
    frame.date = ["2024-03-31T00:00+01:00", "2024-03-31T01:00+01:00", "2024-03-31T03:00+02:00"]
    panel = panel_of(frame, **WIDE)
    assert panel.freq == "h"
    assert panel.times(0, 0, 1)[0] == np.datetime64("2024-03-30T23:00")


def test_missing_rows_and_values_are_nan_and_reported() -> None:
    frame = wide(8).drop(index=[3, 4])
    frame.loc[6, "a"] = np.nan
    panel = panel_of(frame, **WIDE)
    assert np.isnan(panel.values).nonzero()[0].tolist() == [3, 3, 4, 4, 6]
    assert panel.notices == [
        "2 rows are missing, the first is 2024-01-01 03:00:00",
        "1 values are missing, the first is 'a' at 2024-01-01 06:00:00",
    ]


def test_missing_values_after_the_last_target_are_not_reported() -> None:
    frame = long(x=5, y=4).assign(price=1.0, level=[1, np.nan, 3, np.nan, np.nan, 1, 2, 3, 4])
    frame.loc[[3, 4, 6], "y"] = np.nan
    options = {"future_covariates": ["price"], "past_covariates": ["level"], "calendar": ["day"]}
    assert panel_of(frame, **LONG, **options).notices == [
        "2 values are missing, the first is 'level' at 2024-01-02 00:00:00 of 'x'"
    ]


def test_columns_are_ordered_by_targets_future_covariates_calendar_past_covariates() -> None:
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


def test_static_covariates_are_numeric_or_categorical() -> None:
    frame = long(x=3, y=2)
    frame["size"] = frame.unique_id.map({"x": 1.5, "y": 2.5})
    frame["kind"] = frame.unique_id.map({"x": "shop", "y": "depot"})
    panel = panel_of(frame, **LONG, static_covariates=["unique_id", "size", "kind"])
    assert panel.static.tolist() == [[1.5], [2.5]]
    assert panel.category_codes.tolist() == [[1, 2], [2, 1]]
    assert panel.static_categories == [["x", "y"], ["depot", "shop"]]


def test_new_categories_are_unknown() -> None:
    frame = long(x=3).assign(kind="new", event=["a", "b", "a"])
    config = PanelConfig(**LONG, static_covariates=["kind"], future_covariates=["event"])
    categories = {"kind": ["old"], "event": ["a"]}
    panel = read_panel(lambda: as_chunks(frame), config, categories=categories)
    assert panel.category_codes.tolist() == [[0]]
    assert panel.values[:, 1].tolist() == [1, 0, 1]


@pytest.mark.parametrize("name", ["it.csv", "it.csv.gz", "it.tsv", "it.parquet"])
def test_all_file_formats_give_the_same_panel(name: str, tmp_path: Path) -> None:
    frame, path = long(x=5, y=3), tmp_path / name
    if name.endswith("parquet"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if "tsv" in name else ",")
    panel = read_panel(lambda: read_frames(path), PanelConfig(**LONG))
    np.testing.assert_array_equal(panel.values, panel_of(frame, **LONG).values)
