"""Notations of numbers in text, to name the cell of a column that does not fit."""

import re
from collections.abc import Sequence

POINT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")
GROUPED = re.compile(r"[-+]?\d{1,3}([.,' ]\d{3})+([.,]\d+)?")  # with separators of thousands


def is_numeral(text: str) -> bool:
    """Return whether a text is a number in any notation, such as `1003.77` or `1.003,77`.

    Example:
        >>> [is_numeral(text) for text in ("1003.77", "1003,77", "1.003,77", "n.a.", "31.01.2024")]
        [True, True, True, False, False]
    """
    return any(notation.fullmatch(text.strip()) for notation in (POINT, COMMA, GROUPED))


def misfit(texts: Sequence[str]) -> tuple[int, str]:
    """Find the text that prevents a column from being read as numbers.

    Args:
        texts: The values of a column, of which at least one is not a number with a decimal point.

    Returns:
        The index of the first text that is no number in any notation; else of the first number
        with separators of thousands; else of the first number with the decimal mark of the fewer.
        And what is expected instead.
    """
    stripped = [text.strip() for text in texts]
    commas, points, grouped = [], [], []
    for index, text in enumerate(stripped):
        if COMMA.fullmatch(text):
            commas.append(index)
        elif POINT.fullmatch(text):
            points += [index] if "." in text else []
        elif GROUPED.fullmatch(text):
            grouped.append(index)
        else:
            return index, "a number"
    if grouped:
        return grouped[0], "a number without separators of thousands"
    if points and len(points) < len(commas):
        return points[0], f"a decimal comma as in {stripped[commas[0]]!r}"
    return (commas or [0])[0], "a number with a decimal point"
