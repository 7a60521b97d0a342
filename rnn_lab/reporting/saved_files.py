"""Reading of tables and images in run folders, of which any may be missing or damaged."""

import base64
import csv
import io
import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from rnn_lab.io.run_files import METRICS, read_metrics

MAX_WIDTH = 1600  # pixels of an image
COLORS = 64  # of the palette of an image

Frame = Mapping[str, list[float | None]]  # columns of a `metrics.csv`
Rows = list[dict[str, str]]


def read_frame(folder: Path) -> Frame:
    """Read the metrics of a run by column; empty if they are missing or damaged."""
    try:
        frame = read_metrics(folder / METRICS)
    except (OSError, ValueError, TypeError, csv.Error):
        return {}
    return frame if "step" in frame else {}


def read_table(path: Path, limit: int | None = None) -> Rows:
    """Read the first rows of a CSV file; none if it is missing or damaged.

    A last row that is not complete is left out.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(islice(csv.DictReader(file), limit))
    except (OSError, ValueError, csv.Error):
        return []
    return [row for row in rows if None not in row and None not in row.values()]


def read_entries(path: Path, limit: int | None = None) -> list[dict[str, Any]]:
    """Read the first JSON objects of a file with one per line; none if it is missing.

    They end at the first line that is none, as the last one of an interrupted test may be.
    """
    try:
        with open(path, "rb") as file:
            lines = list(islice(file, limit))
    except OSError:
        return []
    entries: list[dict[str, Any]] = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            break
        if not isinstance(entry, dict):
            break
        entries.append(entry)
    return entries


def read_text(path: Path) -> str:
    """Read a text; empty if it is missing, damaged characters are replaced."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def data_uri(path: Path) -> str:
    """Return an image as a data URI with fewer colors; empty if it is missing or damaged."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.thumbnail((MAX_WIDTH, 4 * MAX_WIDTH))
            small = image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return ""
    file = io.BytesIO()
    small.save(file, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
