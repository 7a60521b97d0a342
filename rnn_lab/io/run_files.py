"""Files of a run folder: their names, and how they are read without torch."""

import csv
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

CONFIG, STATE, COST = "config.yaml", "state.json", "cost.json"
SUBMISSION = "submit.json"  # the job of a submitted run
METRICS, TEST_METRICS = "metrics.csv", "metrics.test.csv"
ITEMS = "predictions.test.parquet"
CHECKPOINTS = "checkpoints"
RUN_FILES = {STATE, SUBMISSION, METRICS, CHECKPOINTS}  # any of them marks a run
NOT_FINITE = "loss is nan"  # in the reason why a run failed whose loss became NaN or infinite
ROOT = Path("runs")  # the folder of all experiments

Record = dict[str, Any]


def runs_below(folder: Path) -> Iterator[Path]:
    """Yield the runs in a folder, or the folder itself if it is a run."""
    for path, folders, files in os.walk(folder):
        if RUN_FILES & {*folders, *files}:
            folders.clear()
            yield Path(path)


def read_record(path: Path) -> Record:
    """Read a JSON object from a file; empty if it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def has_diverged(state: Record) -> bool:
    """Return whether a run failed because its loss was not finite.

    Args:
        state: Content of its `state.json`.
    """
    return state.get("state") == "failed" and NOT_FINITE in str(state.get("reason"))


def read_metrics(path: str | os.PathLike[str]) -> dict[str, list[float | None]]:
    """Read a `metrics.csv` as columns.

    Returns:
        Values of each column by name, one per row; None if a row lacks the metric.
    """
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = list(rows[0]) if rows else []
    return {name: [float(row[name]) if row[name] else None for row in rows] for name in names}


def last_test_scores(folder: Path) -> dict[str, float]:
    """Return the scores of the last test of a run, by name; empty if its weights are not tested.

    A test by `rnn-lab test` counts if the best checkpoint is not newer than it.
    """
    best, later = folder / CHECKPOINTS / "best.ckpt", folder / TEST_METRICS
    with suppress(OSError):
        if later.stat().st_mtime >= best.stat().st_mtime and (scores := _last_test(later)):
            return scores
    trained_further = read_record(folder / STATE).get("tested") is False
    return {} if trained_further else _last_test(folder / METRICS)


def _last_test(path: Path) -> dict[str, float]:
    scores: dict[str, float] = {}
    with suppress(OSError, ValueError, csv.Error), open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            tested = {n: v for n, v in row.items() if n and n.startswith("test/") and v}
            scores = {name: float(value) for name, value in tested.items()} or scores
    return scores
