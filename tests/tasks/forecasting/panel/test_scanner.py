"""Errors in tables of series."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from panel_tables import LONG, WIDE, long, panel_of, wide

from rnn_lab.errors import UserError
from rnn_lab.io import parquet
from rnn_lab.io.tables import Chunk, read_frames
from rnn_lab.tasks.forecasting.panel.builder import read_panel
from rnn_lab.tasks.forecasting.panel.panel import PanelConfig
from rnn_lab.tasks.forecasting.panel.scanner import PanelScanner


def changed(frame: pd.DataFrame, row: int, column: str, value: Any) -> pd.DataFrame:
    return frame.astype({column: object}).pipe(
        lambda f: f.assign(**{column: [value if i == row else x for i, x in enumerate(f[column])]})
    )


def assert_refused(frame: pd.DataFrame, message: str, **config: Any) -> None:
    with pytest.raises(UserError, match=message) as error:
        panel_of(frame, **config)
    assert "\n" not in str(error.value)


def assert_file_refused(path: Path, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_panel(lambda: read_frames(path), PanelConfig(**WIDE))


def test_invalid_times_are_refused() -> None:
    frame = wide(6)
    assert_refused(
        frame.iloc[[0, 2, 1, 3]],
        r"row 3: 2024-01-01 01:00:00 follows .* 02:00:00: sort",
        **WIDE,
    )
    assert_refused(frame.iloc[[0, 1, 1, 2]], "row 3: 2024-01-01 01:00:00 is duplicated", **WIDE)
    assert_refused(
        changed(frame, 2, "date", "soon"), "row 3: the time 'soon' in 'date' cannot", **WIDE
    )
    assert_refused(changed(frame, 2, "date", None), "row 3: the time in 'date' is missing", **WIDE)
    off = changed(frame, 2, "date", "2024-01-01 01:40")
    assert_refused(off, "row 2: 2024-01-01 01:00:00 is not a multiple of 40min after", **WIDE)
    assert_refused(
        off, "row 3: .* is not a multiple of h after 2024-01-01 00:00:00", **WIDE, freq="h"
    )
    assert_refused(
        frame.iloc[:1], "cannot infer the frequency of it: each series has a single row", **WIDE
    )
    assert_refused(
        frame.assign(date=1.5), "row 1: the time '1.5' in 'date' cannot be parsed", **WIDE
    )
    assert_refused(frame, "the times of it are timestamps, expected numbers", **WIDE, freq="2")
    numbers = frame.assign(date=range(6))
    assert_refused(
        numbers, "the times of it are numbers, expected timestamps of frequency h", **WIDE, freq="h"
    )
    assert_refused(
        numbers, "calendar features need timestamps, but it has numbers", **WIDE, calendar=["hour"]
    )
    assert_refused(frame, "unknown freq 'often'", **WIDE, freq="often")
    assert_refused(frame, "freq must be a positive multiple, got '0h'", **WIDE, freq="0h")


def test_dates_that_may_start_with_the_day_are_announced(caplog) -> None:
    months = pd.date_range("2021-01-01", periods=24, freq="MS").strftime("%d/%m/%Y")
    chunk = Chunk(pd.DataFrame({"date": months, "y": 1.0}), "table", 1)
    PanelScanner(chunk, PanelConfig("date"), None)
    assert "table: the dates in 'date' are read with the month first; only with" in caplog.text


def test_series_of_different_frequencies_are_refused() -> None:
    frame = long(x=9, y=9)
    frame.loc[9:, "ds"] = pd.date_range("2024-01-01", periods=9, freq="3D").astype(str)
    assert_refused(
        frame, "it has only 9 of 25 rows at freq D of 'y': the steps are irregular", **LONG
    )


def test_invalid_values_are_refused() -> None:
    frame = wide(4)
    text = changed(frame, 2, "a", "n/k")
    assert_refused(text, "row 3: column 'a' contains 'n/k', expected a number", **WIDE)
    assert_refused(frame.assign(a="x"), "row 1: column 'a' contains 'x'", **WIDE, targets=["a"])
    assert_refused(
        frame.assign(a=pd.Timestamp(0)), "column 'a' contains '1970", **WIDE, targets=["a"]
    )
    assert_refused(
        changed(frame, 1, "b", np.inf), "row 2: column 'b' is inf, expected a finite", **WIDE
    )
    assert_refused(
        changed(frame, 1, "b", 1e60), r"row 2: column 'b' is 1e\+60, expected a finite", **WIDE
    )
    assert_refused(frame, "it has no column 'c'; it has: date, a, b", **WIDE, targets=["c"])
    assert_refused(frame[["date"]], "it has no numeric column to forecast", **WIDE)
    assert_refused(frame.iloc[:0], "it is empty", **WIDE)
    missing = changed(frame, 1, "b", None)
    assert_refused(
        missing, "row 2: column 'b' is missing", **WIDE, targets=["a"], future_covariates=["b"]
    )
    gap = frame.drop(index=2)
    assert_refused(
        gap,
        r"no row for 2024-01-01 02:00:00: future covariates \(b\) must",
        **WIDE,
        targets=["a"],
        future_covariates=["b"],
    )


def test_inconsistent_series_are_refused() -> None:
    frame = long(x=3, y=3).assign(size=1)
    moves = changed(frame, 4, "size", 2)
    assert_refused(
        moves,
        r"row 5: static covariate 'size' of 'y' changes from 1\.0 to 2\.0",
        **LONG,
        static_covariates=["size"],
    )
    lost = changed(frame, 4, "unique_id", None)
    assert_refused(lost, "row 5: column 'unique_id' is missing", **LONG)
    late = frame.iloc[[0, 3, 4, 2, 1, 5]]
    assert_refused(late, "row 5: 2024-01-02 00:00:00 of 'x' follows 2024-01-03", **LONG)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5]], ids=["sorted", "mixed"])
def test_several_series_without_an_id_column_are_refused_with_the_option(order: list[int]) -> None:
    frame = long(x=3, y=3).iloc[order].drop(columns="unique_id")
    hint = "set --data.columns.id=NAME if the table has several series"
    assert_refused(frame, hint, time_column="ds", targets=["y"])


def test_columns_that_are_not_numeric_are_ignored_and_reported() -> None:
    panel = panel_of(wide(4).assign(station="north"), **WIDE)
    assert panel.targets == ["a", "b"]
    assert panel.notices == ["ignored columns that are not numeric: station"]


def test_invalid_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "it.csv"
    assert_file_refused(path, r"it\.csv does not exist")
    assert_file_refused(
        tmp_path / "it.xlsx", "cannot infer the format of .*: expected .csv, .tsv or .parquet"
    )
    path.write_bytes(b"")
    assert_file_refused(path, r"it\.csv is empty")
    path.write_bytes(b"date,a\n")
    assert_file_refused(path, r"it\.csv is empty")
    path.write_bytes(b"date,a\n2024-01-01,1\n2024-01-02,caf\xe9\n")
    assert_file_refused(path, r"it\.csv is not utf-8 \(byte 0xe9\)")
    path.write_bytes(b"date,a\n2024-01-01,1\n2024-01-02,1,5\n")
    assert_file_refused(path, r"it\.csv is not a table: ")
    (tmp_path / "it.csv.gz").write_bytes(gzip.compress(b"date,a\n" * 9000)[:-20])
    assert_file_refused(tmp_path / "it.csv.gz", r"it\.csv\.gz is truncated or damaged")
    (tmp_path / "it.parquet").write_bytes(b"PAR1 and no more")
    assert_file_refused(tmp_path / "it.parquet", r"it\.parquet is not a Parquet file")


def test_an_error_in_a_later_chunk_is_reported_with_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "CHUNK_ROWS", 2)
    path = tmp_path / "it.csv"
    changed(wide(7), 5, "a", "bad").to_csv(path, index=False)
    assert_file_refused(path, r"it\.csv row 6: column 'a' contains 'bad'")
    changed(wide(7), 4, "date", "2024-01-01 03:00:00").to_csv(path, index=False)
    assert_file_refused(path, r"it\.csv row 5: 2024-01-01 03:00:00 is duplicated")
    changed(wide(5).assign(date=range(5)), 4, "date", "2024-01-01").to_csv(path, index=False)
    assert_file_refused(path, r"it\.csv row 5: column 'date' mixes numbers and timestamps")
