"""Many runs from one file: options and the values that they take."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import yaml

from rnn_lab.errors import UserError

FIXED = ("name", "experiment", "ckpt_path", "overwrite", "trainer.default_root_dir")
LONGEST = 150  # characters of a run's name that come from its options
Element = dict[str, Any]


def read(path: str) -> list[Element]:
    """Read the elements of an array.

    Args:
        path: YAML of options, each with a list of values, of which all combinations are taken; or a
            list of options with their values, one entry an element.

    Raises:
        UserError: If it is something else, or empty.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.safe_load(file)
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if isinstance(content, list):
        elements = content
        if not all(isinstance(element, dict) and element for element in elements):
            raise UserError(f"{path}: each entry of the list takes options with their values")
    elif isinstance(content, dict):
        for option, values in content.items():
            if not isinstance(values, list) or not values:
                raise UserError(f"{path}: {option} takes a list of values, got {values!r}")
        combinations = itertools.product(*content.values())
        elements = [dict(zip(content, values, strict=True)) for values in combinations]
    else:
        elements = []
    if not any(elements):
        raise UserError(f"{path} holds no runs: give options with lists of values")
    for option in FIXED:
        if any(option in element for element in elements):
            raise UserError(f"{path}: {option} is the same for all runs: give it on the line")
    return elements


def options_of(element: Element) -> list[list[str]]:
    """The options of an element as words of the command line.

    Example:
        >>> options_of({"model.dropout": 0.5, "data.lower": True})
        [['--model.dropout=0.5'], ['--data.lower=true']]
    """
    return [[f"--{option}={_text(value)}"] for option, value in element.items()]


def suffixes(elements: Sequence[Element]) -> list[str]:
    """What tells the names of the runs apart.

    Example:
        >>> suffixes([{"model.hidden_dim": 64, "model.optimizer.lr": 0.1}])
        ['-hidden_dim=64-lr=0.1']

    Raises:
        UserError: If two runs get the same name, or one gets a very long one.
    """
    options = {str(option) for element in elements for option in element}
    lasts = Counter(option.rpartition(".")[2] for option in options)
    found = []
    for element in elements:
        parts = []
        for option, value in element.items():
            last = str(option).rpartition(".")[2]
            parts.append(f"-{last if lasts[last] == 1 else option}={_text(value)}")
        found.append(re.sub(r"[^\w.+=-]+", "_", "".join(parts)))
    (often, times), *_ = Counter(found).most_common(1)
    if times > 1:
        raise UserError(f"{times} runs of the array would have the same name, NAME{often}")
    longest = max(found, key=len)
    if len(longest) > LONGEST:
        raise UserError(f"the name of a run would be too long: NAME{longest}")
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
