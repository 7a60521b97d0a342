"""The config of a W&B sweep with the space of a study, from whose meaning nothing is changed."""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from rnn_lab.errors import UserError
from rnn_lab.sweeps.space import Space
from rnn_lab.sweeps.study import Settings

METHODS = {"tpe": "bayes", "random": "random", "grid": "grid"}
STEPS = 1000  # values of an interval with a step, which W&B is given as a list


def sweep_config(
    space: Space, settings: Settings, trials: int, options: Sequence[str]
) -> dict[str, Any]:
    """Return the config of a W&B sweep, without its name and project.

    Args:
        space: Options and their distributions.
        settings: What is looked for.
        trials: Number of trials.
        options: Options of `fit` that all trials have.

    Raises:
        UserError: If W&B cannot express the space, the pruner or an option.
    """
    for option in options:
        if "${" in option:
            raise UserError(f"W&B would replace a part of {option}: write it without ${{...}}")
    config: dict[str, Any] = {
        "method": METHODS[settings.sampler],
        "metric": {
            "name": settings.metric,
            "goal": "minimize" if settings.mode == "min" else "maximize",
        },
        "run_cap": trials,
        "parameters": {name: _parameter(name, each) for name, each in space.items()},
        "command": ["${env}", "rnn-lab", "fit", *options, "--ckpt_path=last", "${args}"],
    }
    if settings.pruner == "median":
        raise UserError("W&B has no median pruner: give --pruner=hyperband, or none")
    if settings.pruner == "hyperband":
        config["early_terminate"] = {"type": "hyperband", "min_iter": 1, "eta": 3}
    return config


def _parameter(option: str, distribution: BaseDistribution) -> dict[str, Any]:
    """Return the parameter of W&B with the values and probabilities of a distribution.

    W&B rounds the values of its quantized distributions to multiples of the step, and the two ends
    get half of the probability of the others: intervals with a step are lists of values instead.
    """
    match distribution:
        case CategoricalDistribution():
            return {"values": [_value(option, value) for value in distribution.choices]}
        case FloatDistribution(log=True):
            return _interval("log_uniform_values", distribution)
        case FloatDistribution(step=None):
            return _interval("uniform", distribution)
        case IntDistribution(step=1, log=False):
            return _interval("int_uniform", distribution)
        case IntDistribution() | FloatDistribution():
            return {"values": _stepped(option, distribution)}
    raise AssertionError(distribution)


def _interval(name: str, interval: IntDistribution | FloatDistribution) -> dict[str, Any]:
    return {"distribution": name, "min": interval.low, "max": interval.high}


def _value(option: str, value: Any) -> Any:
    """Return a value of a list, which an agent passes on as `str(value)`."""
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"W&B has no value {value}, which {option} may have: remove it")
    return "null" if value is None else value


def _stepped(option: str, interval: IntDistribution | FloatDistribution) -> list[Any]:
    """Return the values of an interval with a step."""
    low, high, step = (
        Decimal(str(value)) for value in (interval.low, interval.high, interval.step)
    )
    count = int((high - low) // step) + 1
    if count > STEPS:
        raise UserError(
            f"{option} has {count:,} values, of which W&B is given a list of at most {STEPS:,}: "
            "give a larger step, or none"
        )
    number = int if isinstance(interval, IntDistribution) else float
    return [number(low + index * step) for index in range(count)]
