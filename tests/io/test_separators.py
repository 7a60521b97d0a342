"""Separators that are inferred from the first rows of a table."""

import pytest

from rnn_lab.errors import UserError
from rnn_lab.io.separators import SEPARATORS, infer_decimal, infer_separator, parse_separator


@pytest.mark.parametrize("separator", SEPARATORS)
def test_a_header_with_the_columns_decides(separator: str) -> None:
    header = separator.join(["id, of row; a|b\tc", "text", "label"])
    assert infer_separator([header + "\n"], ["text", "label"]) == separator


@pytest.mark.parametrize(
    ("lines", "separator"),
    [
        ([], ","),
        (["text\n"], ","),
        (["review;label\n"], ";"),
        (["a, b, c;1\n", "d, e;2\n"], ";"),
        (['"a;b";1|x,y\n', "c;2|x,y,z\n"], ";"),
        (["1|a\n", "2|b\n"], "|"),
        (["1,a;b\n", "2,c;d\n"], ","),
    ],
)
def test_else_the_rows_have_equal_numbers_of_fields(lines: list[str], separator: str) -> None:
    assert infer_separator(lines, ["text"] if len(lines) == 1 else ()) == separator


def test_a_tab_has_a_name() -> None:
    assert parse_separator("\\t") == parse_separator("tab") == parse_separator("\t") == "\t"
    for separator in ("", ";;", '"', "\n"):
        with pytest.raises(UserError, match="the separator must be one character"):
            parse_separator(separator)


@pytest.mark.parametrize(
    ("lines", "decimal"),
    [
        (["x;y\n", "1,5;2\n"], ","),
        (["x;y\n", "1,5;2.5\n"], "."),
        (["x;y\n", "1;2\n"], "."),
        (["x;y\n", "one, two;2\n"], "."),
    ],
)
def test_a_decimal_comma_is_inferred_where_no_number_has_a_point(
    lines: list[str], decimal: str
) -> None:
    assert infer_decimal(lines, ";") == decimal
