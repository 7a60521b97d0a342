"""Timestamps as text: their format, and whether the day or the month comes first."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

DOTTED_DATE = re.compile(r"\s*\d{1,2}\.\d{1,2}\.\d")  # 31.01.2024 wherever it is written
SLASHED_DATE = re.compile(r"\s*(\d{1,2})[/-](\d{1,2})[/-]\d")
MONTHS = 12
MIN_TIMES = 3  # from which steps can be compared


def parse_timestamps(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Parse timestamps in the format of the first one; other values become missing.

    In dates such as 31/01/2024 the month comes first, unless some first number and no second one
    is larger than 12.
    """
    import pandas as pd
    from pandas.api import types

    if types.is_datetime64_any_dtype(values.dtype):
        has_zone = getattr(values.dt, "tz", None) is not None
        return values.dt.tz_convert("UTC").dt.tz_localize(None) if has_zone else values
    if types.is_float_dtype(values.dtype) or types.is_bool_dtype(values.dtype):
        return pd.Series(pd.NaT, index=values.index)
    text = values.astype(str)
    parsed = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
    if parsed.isna().iloc[0]:
        parsed = _parse(text, _starts_with_day(text))
    bounds = pd.Timestamp.min.tz_localize("UTC"), pd.Timestamp.max.tz_localize("UTC")
    return parsed.where(parsed.between(*bounds)).dt.tz_localize(None)


def is_regular_only_day_first(values: "pd.Series[Any]") -> bool:
    """Return whether ambiguous dates have equal steps if the day comes first, and else not.

    Args:
        values: A column; it may have repeated times, as of several series.
    """
    text = values.dropna().astype(str)
    if not len(text) or not SLASHED_DATE.match(text.iloc[0]):
        return False
    if (_numbers(text) > MONTHS).any(axis=None):
        return False
    return _is_regular(_parse(text, True)) and not _is_regular(_parse(text, False))


def _parse(text: "pd.Series[Any]", day_first: bool) -> "pd.Series[Any]":
    import pandas as pd

    format = pd.tseries.api.guess_datetime_format(text.iloc[0], dayfirst=day_first)
    if format is None:
        return pd.Series(pd.NaT, text.index, dtype="datetime64[ns, UTC]")
    return pd.to_datetime(text, format=format, errors="coerce", utc=True)


def _starts_with_day(text: "pd.Series[Any]") -> bool:
    if not SLASHED_DATE.match(text.iloc[0]):
        return DOTTED_DATE.match(text.iloc[0]) is not None
    first, second = (_numbers(text) > MONTHS).any()
    return bool(first and not second)


def _numbers(text: "pd.Series[Any]") -> "pd.DataFrame":
    """Return the first two numbers of dates, `(rows, 2)`; NaN where there is no such date."""
    return text.str.extract(SLASHED_DATE.pattern).astype(float)


def _is_regular(times: "pd.Series[Any]") -> bool:
    """Return whether times are equally far apart, or on one day of equally distant months."""
    import pandas as pd

    distinct = pd.DatetimeIndex(times.dropna().unique()).sort_values()
    if len(distinct) < MIN_TIMES:
        return False
    months = 12 * distinct.year + distinct.month
    is_monthly = len(distinct.day.unique()) == 1 and _steps(months) == 1
    return is_monthly or _steps(distinct) == 1


def _steps(values: "pd.Index[Any]") -> int:
    """Return the number of different steps between consecutive values."""
    return len(set(values[1:] - values[:-1]))
