"""Series of files of the user."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from series_tables import assert_same, long, wide

from rnn_lab.errors import UserError
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.files import Columns


def test_tables_in_long_format_are_recognized_by_their_columns(data_of: Any) -> None:
    data = data_of(long(x=40, y=30).assign(other=1.0))
    assert (data.panel.ids, data.panel.targets) == (["x", "y"], ["y"])
    assert data_of(long(x=40).assign(other=1.0), targets=["other"]).panel.targets == ["other"]


def test_the_time_column_is_inferred_from_names_or_values(data_of: Any) -> None:
    frame = wide()
    assert data_of(frame.rename(columns={"date": "Time"})).panel.config.time_column == "Time"
    assert data_of(frame.rename(columns={"date": "when"})).panel.freq == "h"
    numbered = data_of(frame.drop(columns="date"), columns=Columns(time="none"))
    assert numbered.panel.config.time_column is None
    with pytest.raises(
        UserError, match=r"2024-01-31 \('\w+' starts with .*\): set --data.columns.time=NAME"
    ):
        data_of(frame.drop(columns="date")).split("train")


def test_a_single_column_of_timestamps_is_the_time_wherever_it_is(data_of: Any) -> None:
    frame = wide().rename(columns={"date": "Datum"})
    frame.insert(0, "Nr", range(len(frame)))
    assert data_of(frame).panel.config.time_column == "Datum"
    german = frame.assign(Datum=pd.to_datetime(frame["Datum"]).dt.strftime("%d.%m.%Y %H:%M"))
    assert data_of(german).panel.config.time_column == "Datum"
    twice = frame.assign(Abruf=frame["Datum"])
    with pytest.raises(UserError, match=r"timestamps in Datum, Abruf: set --data.columns.time"):
        data_of(twice).split("train")
    data = data_of(twice, columns=Columns(static_covariates=["Abruf"]))
    assert data.config().time_column == "Datum"


def test_a_time_that_cannot_be_parsed_is_named_by_its_row(data_of: Any) -> None:
    frame = wide().rename(columns={"date": "Datum"})
    frame["Datum"] = frame["Datum"].astype(str)
    frame.loc[7, "Datum"] = "tomorrow"
    with pytest.raises(UserError, match="row 8: the time 'tomorrow' in 'Datum' cannot be parsed"):
        data_of(frame).split("train")


def test_a_file_is_prepared_once_and_again_if_it_changes(
    data_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = data_of(wide()).panel
    with monkeypatch.context() as patch:
        patch.setattr("rnn_lab.tasks.forecasting.files.read_panel", None)
        np.testing.assert_array_equal(data_of(wide()).panel.values, first.values)
    assert len(data_of(wide(90)).panel.values) == 90


def test_memory_mapped_values_give_the_same_batches(
    data_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, rows = long(x=40, y=30).assign(price=1.5, more=2.5), np.array([3, 0, 11])
    options = {"columns": Columns(future_covariates=["price"], past_covariates=["more"])}
    held = data_of(frame, calendar=["day"], **options).split("train")
    monkeypatch.setattr("rnn_lab.tasks.forecasting.panel.panel.MAX_IN_MEMORY", 0)
    mapped = data_of(frame, calendar=["day"], **options).split("train")
    assert held.flat.scaled
    assert not mapped.flat.scaled
    assert_same(held[rows], mapped[rows], *WindowBatch._fields)


def test_values_after_the_training_rows_do_not_affect_training(data_of: Any) -> None:
    frame = wide(100)
    before = data_of(frame)
    expected = before.split("train")[np.arange(61)], before.scaler.state_dict()
    frame.loc[70:, ["a", "b"]] *= -1e3
    after = data_of(frame)
    assert_same(after.split("train")[np.arange(61)], expected[0], *WindowBatch._fields)
    assert after.scaler.state_dict() == expected[1]


def test_the_build_spec_contains_all_arguments_but_the_path(data_of: Any) -> None:
    recipe = data_of(wide(), calendar=["hour"]).build_spec()
    assert recipe["class_path"].endswith(".ForecastingFiles")
    assert recipe["init_args"]["calendar"] == ["hour"]
    assert not {"file", "root"} & recipe["init_args"].keys()
