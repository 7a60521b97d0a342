"""Parameter grids: many runs from one file of options and values."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import yaml

from rnn_lab.errors import UserError

FIXED = ("name", "experiment", "ckpt_path", "overwrite", "trainer.default_root_dir")
MAX_SUFFIX_LENGTH = 150  # characters of a run's name
Point = dict[str, Any]  # values of options


def read(path: str) -> list[Point]:
    """Read a parameter grid.

    Args:
        path: YAML file. Either a mapping from options to lists of values, for all combinations of
            the values; or a list with one mapping from options to values per run.

    Raises:
        UserError: If the file is invalid or empty.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.safe_load(file)
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if isinstance(content, list):
        points = content
        if not all(isinstance(point, dict) and point for point in points):
            raise UserError(f"{path}: each entry of the list must map options to values")
    elif isinstance(content, dict):
        for option, values in content.items():
            if not isinstance(values, list) or not values:
                raise UserError(f"{path}: {option} must be a list of values, got {values!r}")
        combinations = itertools.product(*content.values())
        points = [dict(zip(content, values, strict=True)) for values in combinations]
    else:
        points = []
    if not any(points):
        raise UserError(f"{path} contains no runs: give options with lists of values")
    for option in FIXED:
        if any(option in point for point in points):
            raise UserError(
                f"{path}: {option} cannot vary between runs: give it on the command line"
            )
    return points


def options_of(point: Point) -> list[list[str]]:
    """Convert a point of the grid to command-line options.

    Example:
        >>> options_of({"model.dropout": 0.5, "data.lower": True})
        [['--model.dropout=0.5'], ['--data.lower=true']]
    """
    return [[f"--{option}={_text(value)}"] for option, value in point.items()]


def suffixes(points: Sequence[Point]) -> list[str]:
    """Return distinct suffixes for the names of the runs.

    Example:
        >>> suffixes([{"model.hidden_dim": 64, "model.optimizer.lr": 0.1}])
        ['-hidden_dim=64-lr=0.1']

    Raises:
        UserError: If two runs would have the same name, or a name would be too long.
    """
    options = {str(option) for point in points for option in point}
    short_names = Counter(option.rpartition(".")[2] for option in options)
    names = []
    for point in points:
        parts = []
        for option, value in point.items():
            short_name = str(option).rpartition(".")[2]
            name = short_name if short_names[short_name] == 1 else option
            parts.append(f"-{name}={_text(value)}")
        names.append(re.sub(r"[^\w.+=-]+", "_", "".join(parts)))
    (name, count), *_ = Counter(names).most_common(1)
    if count > 1:
        raise UserError(f"{count} runs of the array would have the same name, NAME{name}")
    longest = max(names, key=len)
    if len(longest) > MAX_SUFFIX_LENGTH:
        raise UserError(f"the name of a run would be too long: NAME{longest}")
    return names


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
