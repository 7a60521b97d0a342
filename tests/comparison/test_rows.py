"""Tables of the same rows are recognized, and overlapping windows are resampled in blocks."""

import numpy as np
from saved_runs import classified, write_run

from rnn_lab.comparison.rows import read_rows, same_rows, units_of
from rnn_lab.comparison.saved_run import read_run


def test_large_columns_are_not_read(tmp_path):
    table = classified(0.5, 4) | {"probabilities": np.ones((4, 2))}
    run = read_run(write_run(tmp_path / "a", table=table))
    assert read_rows(run).keys() == {"row", "target", "prediction"}


def test_a_missing_or_broken_table_has_no_rows(tmp_path):
    run = read_run(write_run(tmp_path / "a"))
    assert read_rows(run) == {}
    run.items.write_bytes(b"broken")
    assert read_rows(run) == {}


def test_rows_are_the_same_if_numbers_and_targets_are():
    one = classified(0.5, 8)
    assert same_rows(one, classified(0.9, 8))
    assert not same_rows(one, classified(0.5, 6))
    assert not same_rows(one, one | {"row": one["row"] + 1})
    assert not same_rows(one, one | {"target": one["target"][::-1]})
    assert not same_rows(one, {"row": one["row"]})


def test_targets_may_be_lists_of_labels():
    labels = np.array([np.array(["a"]), np.array(["a", "b"])], object)
    assert same_rows({"target": labels}, {"target": labels.copy()})
    assert not same_rows({"target": labels}, {"target": labels[::-1]})


def test_rows_without_origins_are_independent():
    units = units_of(classified(0.5, 7), {})
    assert (units.name, units.count, units.overlap) == ("rows", 7, 1)
    rows = np.arange(14.0).reshape(7, 2)
    assert np.array_equal(units.sum(rows), rows)


def windows(series, origins):
    """Return the table of all pairs of series and origins."""
    names, times = np.meshgrid([f"s{i}" for i in range(series)], np.arange(origins))
    return {"series": names.ravel().astype(object), "origin": times.ravel()}


def test_windows_are_resampled_in_blocks_of_origins():
    units = units_of(windows(3, 100), {"data.horizon": "24", "data.stride": "5"})
    assert (units.name, units.count, units.overlap) == ("origins", 100, 5)
    assert np.array_equal(units.sum(np.ones((300, 2))), np.full((100, 2), 3.0))


def test_a_horizon_that_is_no_number_is_a_step():
    assert units_of(windows(1, 10), {"data.horizon": "null"}).overlap == 1


def test_many_series_of_few_origins_are_resampled_whole():
    units = units_of(windows(50, 2), {"data.horizon": "24"})
    assert (units.name, units.count, units.overlap) == ("series", 50, 1)
    assert np.array_equal(units.sum(np.ones((100, 1))), np.full((50, 1), 2.0))


def test_neighboring_blocks_of_a_text_depend_on_each_other():
    columns = {"row": np.arange(7), "tokens": np.full(7, 1000), "nll": np.ones(7)}
    units = units_of(columns, {})
    assert (units.name, units.count, units.overlap) == ("blocks of tokens", 7, 2)
    rows = np.arange(14.0).reshape(7, 2)
    assert np.array_equal(units.sum(rows), rows)
    assert not same_rows(columns, columns | {"tokens": np.full(7, 999)})
