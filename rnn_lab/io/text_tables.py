"""Aligned tables of plain text: of metrics, of epochs, of runs."""

import math
from collections.abc import Mapping, Sequence

GAP = "  "  # between two columns
MIN_WIDTH = 9  # characters of the longest usual number, such as 1.234e-05


def four_digits(value: float) -> str:
    """Format a number with four significant digits.

    Example:
        >>> [four_digits(value) for value in (0.5, 12.345678, 27123.4, 1.2e-05, float("nan"))]
        ['0.5000', '12.35', '27123', '1.200e-05', 'nan']
    """
    if math.isfinite(value) and 1e3 <= abs(value) < 1e7:
        return f"{value:.0f}"
    return f"{value:#.4g}".removesuffix(".")


def metric_table(columns: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Format metrics as an aligned table with a row for each metric.

    Args:
        columns: Metrics by the title of their column.

    Example:
        >>> metric_table({"val": {"loss": 0.5}, "test": {"loss": 2.0}})
        ['metric     val   test', 'loss    0.5000  2.000']
    """
    names = dict.fromkeys(name for metrics in columns.values() for name in metrics)
    cells = [["metric", *columns]]
    for name in names:
        values = (metrics.get(name) for metrics in columns.values())
        cells.append([name, *("" if value is None else four_digits(value) for value in values)])
    return aligned(cells, left=1)


def aligned(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Pad the cells of each column to equal widths, and join them to lines.

    Args:
        rows: Cells of each row.
        left: Number of columns, from the first, that are aligned to the left.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        GAP.join(
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


class EpochTable:
    """An aligned table that grows by a row per epoch.

    It has as many columns of metrics as fit the width. A new header precedes a row when the
    columns change, for instance after the first validation.
    """

    def __init__(self) -> None:
        self._widths: dict[str, int] = {}  # of the current columns, by title

    def lines(self, row: Mapping[str, str], width: int) -> list[str]:
        """Return the lines of a row, after a header if the columns are new.

        Args:
            row: Cells by the title of their column, the most important ones first; the last one is
                always shown.
            width: Maximum number of characters in a line.
        """
        *titles, last = row
        widths, free = {}, width - max(len(last), MIN_WIDTH)
        for title in titles:
            free -= max(len(title), MIN_WIDTH) + len(GAP)
            if free < 0:
                break
            widths[title] = max(len(title), MIN_WIDTH)
        widths[last] = max(len(last), MIN_WIDTH)
        is_new, self._widths = widths.keys() != self._widths.keys(), widths
        rows = [dict(zip(widths, widths, strict=True))] if is_new else []
        return [
            GAP.join(each[title].rjust(size) for title, size in widths.items())
            for each in [*rows, row]
        ]
