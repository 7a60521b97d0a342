"""The space of a sweep: options of `fit` and the values that they may have."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from rnn_lab.errors import UserError

Space = dict[str, BaseDistribution]
FIXED = (
    *("seed_everything", "name", "experiment", "ckpt_path", "overwrite", "test", "seeds", "jobs"),
    "trainer.default_root_dir",
)
EXAMPLE = "a list of values, {log: [1e-4, 1e-2]}, {uniform: [0, 0.5]} or {int: [64, 512], step: 64}"


def read_space(path: Path) -> Space:
    """Read a space.

    Args:
        path: YAML file that maps options to a list of values, or to an interval of numbers:
            `{uniform: [low, high]}`, `{log: [low, high]}` or `{int: [low, high]}`, the first and
            the last with an optional `step`.

    Returns:
        Distributions of Optuna by option.

    Raises:
        UserError: If the file cannot be read, or has none or something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UserError(f"{path} cannot be read: {reason}") from error
    if not isinstance(content, dict) or not content:
        raise UserError(f"{path} must map options to {EXAMPLE}")
    for option in content:
        if option in FIXED:
            raise UserError(f"{path}: {option} cannot vary between trials")
    return {str(option): _distribution(path, option, value) for option, value in content.items()}


def _distribution(path: Path, option: str, value: Any) -> BaseDistribution:
    try:
        if isinstance(value, list):
            return _categorical(value)
        return _interval(value)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise UserError(f"{path}: {option} must be {EXAMPLE}, got {value!r}") from error


def _categorical(values: list[Any]) -> CategoricalDistribution:
    plain = (each is None or isinstance(each, str | int | float) for each in values)
    if not values or not all(plain):
        raise ValueError
    return CategoricalDistribution(values)


def _interval(value: Mapping[str, Any]) -> BaseDistribution:
    (kind, (low, high)), *rest = value.items()
    step = dict(rest).pop("step", None)
    if len(rest) > (step is not None) or low == high:
        raise ValueError
    if kind == "int":
        return IntDistribution(_integer(low), _integer(high), step=_integer(step or 1))
    if kind not in ("log", "uniform") or (kind == "log" and step is not None):
        raise ValueError
    bounds = float(low), float(high)  # YAML reads 1e-4 as text
    return FloatDistribution(*bounds, log=kind == "log", step=float(step) if step else None)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or int(value) != float(value):
        raise ValueError
    return int(value)


def grid(space: Space) -> list[dict[str, Any]] | None:
    """Return all points of a space; None if an interval of it has infinitely many."""
    values = []
    for distribution in space.values():
        if isinstance(distribution, CategoricalDistribution):
            values.append(list(distribution.choices))
        elif isinstance(distribution, IntDistribution):
            values.append([*range(distribution.low, distribution.high + 1, distribution.step)])
        else:
            return None
    return [dict(zip(space, point, strict=True)) for point in itertools.product(*values)]


def samples(space: Space) -> Iterator[dict[str, Any]]:
    """Yield points that together have each value of a list, and both bounds of each interval."""
    values = {option: _ends(distribution) for option, distribution in space.items()}
    first = {option: each[0] for option, each in values.items()}
    yield first
    for option, others in values.items():
        for value in others[1:]:
            yield {**first, option: value}


def _ends(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return [distribution.low, distribution.high]
