"""The table of `rnn-lab status`, which fits a terminal. Only light modules are imported."""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rnn_lab.io.text_tables import GAP, aligned, four_digits

UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
MIN_NAME = 12  # characters of a shortened name of a run
DISPENSABLE = ("job", "last heartbeat", "step")  # columns of which lines are relieved first
ELLIPSIS = "…"


def table(runs: Sequence[Mapping[str, Any]], width: int | None = None) -> str:
    """Format runs as a table with a row for each.

    Args:
        runs: Records of runs.
        width: Characters of a line. Columns without any value are then left out, long names and
            reasons are shortened, and columns that still do not fit are left out. None for all
            columns in full length.
    """
    if not runs:
        return "no runs found\n"
    rows = list(map(_row, runs))
    titles = list(rows[0])
    if width is not None:
        rows = _fitted(rows, width)
        titles = list(rows[0])
    cells = [titles, *([row[title] for title in titles] for row in rows)]
    return "".join(f"{line}\n" for line in aligned(cells, left=len(titles)))


def _row(run: Mapping[str, Any]) -> dict[str, str]:
    """Return the cells of a run by the title of their column."""
    epoch, max_epochs = run["epoch"], run["max_epochs"]
    limited = isinstance(max_epochs, int) and max_epochs > 0 and epoch is not None
    heartbeat = run["heartbeat"]
    cells = {
        "run": run["run"].removeprefix(f"runs{os.sep}"),
        "state": run["state"],
        "step": run["step"],
        "epoch": f"{epoch}/{max_epochs}" if limited else epoch,
        "best": _score(run["monitor"], run["best"]),
        "test": _test_score(run),
        "last heartbeat": _ago(heartbeat) if isinstance(heartbeat, float) else None,
        "job": run["job"],
        "": run["reason"] or "",
    }
    return {title: "-" if cell is None else str(cell) for title, cell in cells.items()}


def _score(name: Any, value: Any) -> str | None:
    return f"{name} {four_digits(value)}" if isinstance(value, float) else None


def _test_score(run: Mapping[str, Any]) -> str | None:
    """Return the test score, with its name if the column `best` has another metric."""
    name, value = run["test_metric"], run["test"]
    same = str(run["monitor"]).replace("val/", "test/", 1) == name and run["best"] is not None
    return four_digits(value) if same and isinstance(value, float) else _score(name, value)


def _fitted(rows: list[dict[str, str]], width: int) -> list[dict[str, str]]:
    """Leave out empty columns, and shorten or leave out others until the lines fit the width."""
    titles = [t for t in rows[0] if any(row[t] not in ("-", "") for row in rows)]
    for needless in ("", *DISPENSABLE):
        titles = [title for title in titles if title != needless or not needless]
        shortened = _shortened([{title: row[title] for title in titles} for row in rows], width)
        if sum(_widths(shortened).values()) + len(GAP) * (len(titles) - 1) <= width:
            break
    return shortened


def _widths(rows: list[dict[str, str]]) -> dict[str, int]:
    return {title: max(len(title), *(len(row[title]) for row in rows)) for title in rows[0]}


def _shortened(rows: list[dict[str, str]], width: int) -> list[dict[str, str]]:
    """Shorten first the reasons, then the names of runs, as far as needed and possible."""
    widths = _widths(rows)
    excess = sum(widths.values()) + len(GAP) * (len(widths) - 1) - width
    for title, least in (("", MIN_NAME), ("run", MIN_NAME)):
        if title not in widths or excess <= 0:
            continue
        size = max(min(least, widths[title]), widths[title] - excess)
        excess -= widths[title] - size
        cut = _cut_end if title == "" else _cut_middle
        rows = [row | {title: cut(row[title], size)} for row in rows]
    return rows


def _cut_end(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 1] + ELLIPSIS


def _cut_middle(text: str, size: int) -> str:
    """Keep both ends of a name: runs often differ in the last characters."""
    if len(text) <= size:
        return text
    end = (size - 1) // 2
    return text[: size - 1 - end] + ELLIPSIS + text[len(text) - end :]


def _ago(timestamp: float) -> str:
    seconds = max(0, int(time.time() - timestamp))
    size, unit = next((size, unit) for size, unit in UNITS if seconds >= size or size == 1)
    return f"{seconds // size} {unit} ago"
