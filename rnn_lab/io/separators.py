"""Separators of the fields of a table, inferred from its first rows."""

import csv
import re
from collections.abc import Collection, Sequence

from rnn_lab.errors import UserError

SEPARATORS = (",", ";", "\t", "|")


def parse_separator(separator: str) -> str:
    r"""Return a separator as a single character; a tab may be written as `\t` or `tab`.

    Raises:
        UserError: If it is not a single character, or is one that ends a line or quotes a field.
    """
    separator = {"\\t": "\t", "tab": "\t"}.get(separator, separator)
    if len(separator) != 1 or separator in '"\r\n':
        raise UserError(f"the separator must be one character, such as ; or tab, got {separator!r}")
    return separator


def infer_separator(lines: Sequence[str], columns: Collection[str] = ()) -> str:
    """Infer the separator of a table: a comma, a semicolon, a tab or a vertical bar.

    Args:
        lines: The first lines of the table.
        columns: Names of columns that the first row should contain.

    Returns:
        The first separator by which the first row contains all columns; else the one by which all
        rows have the same number of fields, the largest; else a comma.
    """
    tables = {separator: _rows(lines, separator) for separator in SEPARATORS}
    if columns:
        for separator, rows in tables.items():
            if rows and set(columns) <= set(rows[0]):
                return separator
    widths = {separator: _width(rows) for separator, rows in tables.items()}
    return max(SEPARATORS, key=widths.__getitem__)  # the first of equal ones


def infer_decimal(lines: Sequence[str], separator: str) -> str:
    """Infer the decimal mark of a table of numbers: a point, or a comma if only commas are used."""
    fields = {field.strip() for row in _rows(lines, separator) for field in row}
    has_points = any(map(re.compile(r"-?\d*\.\d+").fullmatch, fields))
    has_commas = any(map(re.compile(r"-?\d*,\d+").fullmatch, fields))
    return "," if has_commas and not has_points and separator != "," else "."


def _rows(lines: Sequence[str], separator: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(lines, delimiter=separator) if row]
    except csv.Error:
        return []


def _width(rows: list[list[str]]) -> int:
    widths = {len(row) for row in rows}
    return widths.pop() if len(widths) == 1 else 1
