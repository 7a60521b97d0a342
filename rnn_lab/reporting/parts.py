"""Parts of a report: sections with tables and pictures, which templates render."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

MAX_CHARACTERS = 300  # of a cell
# Characters that HTML and XML do not allow, also as references.
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def clean(text: str) -> str:
    """Replace characters that a page must not contain.

    Example:
        >>> clean("a" + chr(0) + "b")
        'a�b'
    """
    return FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


def shortened(text: str, size: int = MAX_CHARACTERS) -> str:
    """Cut a long text at a number of characters."""
    return text if len(text) <= size else text[: size - 1] + "…"


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        head: Titles of the columns.
        rows: Cells of each row.
        left: Number of columns, from the first, that are aligned to the left; the others hold
            numbers.
        caption: What it shows.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure, as SVG or as a data URI.

    Attributes:
        caption: What it shows.
        svg: Its SVG; None if there is a `uri`.
        uri: A data URI of an image.
        wide: Whether it takes the full width.
    """

    caption: str
    svg: Markup | None = None
    uri: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Section:
    """A section of a report.

    Attributes:
        title: Its heading.
        notes: Sentences before tables and pictures.
        pictures: Figures.
        tables: Tables.
        text: Preformatted text.
        folded: Whether only the heading is shown until a reader opens it.
    """

    title: str
    notes: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    text: str = ""
    folded: bool = False


@dataclass(frozen=True)
class RunPart:
    """The part of a report on one run.

    Attributes:
        key: Identifier in the page.
        title: Name of the run.
        facts: What is most important about it, by name.
        sections: Its sections.
    """

    key: str
    title: str
    facts: dict[str, str] = field(default_factory=dict)
    sections: Sequence[Section] = ()
