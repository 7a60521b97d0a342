"""Tables of metrics are aligned, and fit a width."""

import pytest

from rnn_lab.io.text_tables import EpochTable, aligned, four_digits, metric_table


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.000"), (1.0, "1.000"), (-0.123456, "-0.1235"), (12.0, "12.00"), (1234.5, "1234"),
     (999.999, "1000"), (98765.4, "98765"), (1.5e9, "1.500e+09"), (2e-7, "2.000e-07"),
     (float("inf"), "inf"), (float("nan"), "nan")],
)  # fmt: skip
def test_numbers_have_four_significant_digits(value, text):
    assert four_digits(value) == text


def test_a_metric_has_one_row_however_many_columns_have_it():
    lines = metric_table({"val": {"loss": 1.0, "f1": 0.5}, "test": {"f1": 0.25, "ter": 3.0}})
    assert lines == [
        "metric     val    test",
        "loss     1.000",
        "f1      0.5000  0.2500",
        "ter              3.000",
    ]


def test_cells_are_aligned():
    assert aligned([["a", "b", "c"], ["long", "1", "222"]], left=1) == [
        "a     b    c",
        "long  1  222",
    ]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_rows_of_epochs_fit_the_width_below_their_header(width):
    metrics = {f"val/metric_{number}": "0.5000" for number in range(9)}
    table = EpochTable()
    first = table.lines({"epoch": "1/3", **metrics, "time": "1 s"}, width)
    second = table.lines({"epoch": "2/3", **metrics, "time": "10 s"}, width)
    assert (len(first), len(second)) == (2, 1)
    assert len({len(line) for line in (*first, *second)}) == 1
    assert len(first[0]) <= width
    assert first[0].split()[-1] == "time"
    assert len(first[0].split()) == len(second[0].replace(" s", "s").split())


def test_a_header_is_repeated_only_if_the_columns_change():
    table = EpochTable()
    assert len(table.lines({"epoch": "1", "train/loss": "1.000", "time": "1 s"}, 80)) == 2
    row = {"epoch": "2", "train/loss": "1.000", "val/loss": "1.000", "time": "1 s"}
    assert len(table.lines(row, 80)) == 2
    assert len(table.lines(row | {"val/loss": ""}, 80)) == 1
    assert len(table.lines(row, 40)) == 2
