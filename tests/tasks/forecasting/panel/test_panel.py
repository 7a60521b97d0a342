"""Saved panels and roles of columns."""

from pathlib import Path

import numpy as np
import pytest
from panel_tables import LONG, long

from rnn_lab.errors import UserError
from rnn_lab.io.tables import as_chunks
from rnn_lab.tasks.forecasting.panel.builder import read_panel
from rnn_lab.tasks.forecasting.panel.panel import Panel, PanelConfig


def test_a_saved_panel_is_the_same_in_memory_and_memory_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = long(x=5, y=3).assign(kind="k", price=1.0)
    config = PanelConfig(
        **LONG, static_covariates=["kind"], future_covariates=["price"], calendar=["day"]
    )
    built = read_panel(lambda: as_chunks(frame), config, tmp_path)
    opened = Panel.open(tmp_path)
    monkeypatch.setattr("rnn_lab.tasks.forecasting.panel.panel.MAX_IN_MEMORY", 0)
    mapped = Panel.open(tmp_path)
    assert isinstance(mapped.values, np.memmap)
    assert not isinstance(opened.values, np.memmap)
    for panel in (opened, mapped):
        for name, value in vars(built).items():
            np.testing.assert_array_equal(getattr(panel, name), value)


def test_invalid_configs_are_refused() -> None:
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
