"""Fixtures of tests of forecasting data."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from series_tables import SMALL

from rnn_lab.datamodules import ForecastingFiles


@pytest.fixture
def data_of(tmp_path: Path) -> Any:
    """Write a frame as a file and open it."""

    def open_frame(frame: pd.DataFrame, **options: Any) -> ForecastingFiles:
        path = tmp_path / "it.csv"
        frame.to_csv(path, index=False)
        return ForecastingFiles(str(path), **{**SMALL, **options})

    return open_frame
