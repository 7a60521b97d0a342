"""A run as its folder tells of it: options, test scores, what it cost."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rnn_lab.comparison.options import Options, flatten
from rnn_lab.errors import UserError
from rnn_lab.io.run_files import (
    CONFIG,
    COST,
    ITEMS,
    METRICS,
    STATE,
    Record,
    last_test_scores,
    read_metrics,
    read_record,
)

TARGETS_PER_SECOND = "train/targets_per_second"


@dataclass(frozen=True)
class SavedRun:
    """A run.

    Attributes:
        folder: Its folder.
        options: Its options, see `flatten`.
        scores: Scores of its last test by name, such as `test/accuracy`; empty without a test.
        state: Content of `state.json`; empty if there is none.
        cost: Content of `cost.json`; empty if there is none.
        targets_per_second: Median over its epochs; None if it is not known.
    """

    folder: Path
    options: Options
    scores: Mapping[str, float]
    state: Record = field(default_factory=dict)
    cost: Record = field(default_factory=dict)
    targets_per_second: float | None = None

    @property
    def items(self) -> Path:
        """The table of what its test saved of each row, which may not exist."""
        return self.folder / ITEMS

    @property
    def seed(self) -> str:
        """The random seed."""
        return self.options.get("seed_everything", "0")


def read_run(folder: Path) -> SavedRun:
    """Read a run.

    Raises:
        UserError: If it has no readable config.
    """
    return SavedRun(
        folder=folder,
        options=flatten(_config(folder / CONFIG)),
        scores=last_test_scores(folder),
        state=read_record(folder / STATE),
        cost=read_record(folder / COST),
        targets_per_second=_targets_per_second(folder / METRICS),
    )


def _config(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"{path.parent} has no {path.name}: it is not the folder of a run"
        ) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is not the config of a run")
    return content


def _targets_per_second(path: Path) -> float | None:
    try:
        values = [each for each in read_metrics(path)[TARGETS_PER_SECOND] if each is not None]
    except (OSError, ValueError, LookupError):
        return None
    return statistics.median(values) if values else None
