"""Options of runs: their names as on the command line, and in which of them runs differ."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Options = dict[str, str]  # values by name, as they are written on the command line
# Options that have no part in what is compared: seeds, names, places and loggers.
NEUTRAL = {
    "seed_everything", "seeds", "jobs", "experiment", "name", "test", "wandb", "data.root",
    "ckpt_path", "overwrite",
    "trainer.logger", "trainer.default_root_dir", "trainer.enable_progress_bar",
}  # fmt: skip
ABSENT = "-"  # the value of an option that a run does not have, or that is null


def flatten(config: Mapping[str, Any]) -> Options:
    """Flatten a config to options.

    Args:
        config: Content of a `config.yaml`.

    Example:
        >>> flatten({"model": {"class_path": "rnn_lab.GRUClassifier", "init_args": {"dim": 8}}})
        {'model': 'GRUClassifier', 'model.dim': '8'}
    """
    return dict(_flatten("", config))


def _flatten(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        yield prefix, _text(value)
        return
    if "class_path" in value:
        yield prefix, str(value["class_path"]).rpartition(".")[2]
        value = value.get("init_args") or {}
    for name, each in value.items():
        yield from _flatten(f"{prefix}.{name}" if prefix else str(name), each)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        return ", ".join(_of_class(each) for each in value)
    return json.dumps(value, default=str)


def _of_class(value: Mapping[str, Any]) -> str:
    """Write a callback or the like as a call."""
    name = str(value.get("class_path", "")).rpartition(".")[2]
    arguments = value.get("init_args") or {}
    return f"{name}({', '.join(f'{key}={_text(each)}' for key, each in arguments.items())})"


def value_in(options: Options, name: str) -> str:
    """Return the value of an option in a run; `-` if it has none."""
    value = options.get(name, ABSENT)
    return ABSENT if value == "null" else value


def labels(runs: Sequence[Options], by: Sequence[str]) -> list[str]:
    """Name each run by its values of options, equally if and only if these are equal.

    Options that a run does not have are left out, unless two names were then equal: these have
    the options with their values.

    Args:
        runs: Options of the runs.
        by: Names of options.

    Example:
        >>> labels([{"model": "GRU", "model.dim": "8"}, {"model": "CNN"}], ["model", "model.dim"])
        ['GRU, 8', 'CNN']
        >>> labels([{"a": "8"}, {"b": "8"}], ["a", "b"])
        ['a=8, b=-', 'a=-, b=8']
    """
    points = [tuple(value_in(run, name) for name in by) for run in runs]
    short = {
        point: ", ".join(value for value in point if value != ABSENT) or ABSENT for point in points
    }
    counts = Counter(short.values())
    return [
        short[point]
        if counts[short[point]] == 1
        else ", ".join(f"{name}={value}" for name, value in zip(by, point, strict=True))
        for point in points
    ]


def differing(runs: Sequence[Options]) -> dict[str, list[str]]:
    """Return the options in which runs differ, with the value of each run."""
    names = dict.fromkeys(name for run in runs for name in run)
    values = {name: [value_in(run, name) for run in runs] for name in names}
    return {
        name: each for name, each in values.items() if name not in NEUTRAL and len(set(each)) > 1
    }
