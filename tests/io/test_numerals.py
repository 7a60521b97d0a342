"""Notations of numbers."""

import pytest

from rnn_lab.io.numerals import misfit


@pytest.mark.parametrize(
    ("texts", "index", "expected"),
    [
        (["1003,77", "1076,04", "n.a."], 2, "a number"),
        (["1.003,77", "976,04", "n.a."], 2, "a number"),
        (["976,04", "1.003,77", "1.004,77"], 1, "a number without separators of thousands"),
        (["1,003.77", "976.04"], 0, "a number without separators of thousands"),
        (["1003,77", "1076.04", "3", "1080,5"], 1, "a decimal comma as in '1003,77'"),
        (["1003.77", "1076,04", "1080.5"], 1, "a number with a decimal point"),
        (["1003,77", "1076,04"], 0, "a number with a decimal point"),
    ],
)
def test_the_text_that_does_not_fit_is_found(texts: list[str], index: int, expected: str) -> None:
    assert misfit(texts) == (index, expected)
