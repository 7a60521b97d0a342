"""What a checkpoint holds, read without running anything in it."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import torch

from rnn_lab.core.trusted_imports import check_paths
from rnn_lab.errors import UserError

Built = TypeVar("Built")


def contents(checkpoint: str, *, mmap: bool = False) -> dict[str, Any]:
    """Read a checkpoint; nothing in it is run, and nothing is imported but what it may name.

    Args:
        checkpoint: Its path.
        mmap: Whether the weights stay in the file until they are used.

    Returns:
        The weights under `state_dict`, under `rnn_lab` what it says of itself, and the state of
        its training.

    Raises:
        UserError: If it cannot be read, is damaged, is not ours, or names a class that it may
            not name (`rnn_lab.core.trusted_imports.named_class`).
    """
    if not Path(checkpoint).exists():
        raise UserError(f"{checkpoint} does not exist")
    damaged = f"{checkpoint} is not a checkpoint, or a damaged one"
    if not whole(checkpoint):
        raise UserError(damaged)
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # of any kind: what is unpickled is anybody's
        raise UserError(damaged) from error
    if not isinstance(content, dict) or "rnn_lab" not in content:
        raise UserError(f"{checkpoint} is a checkpoint of another project")
    _check_form(content, damaged)
    try:
        for made in (content["rnn_lab"].get(name, {}) for name in ("model", "data")):
            check_paths({k: made[k] for k in made.keys() & {"class_path", "init_args"}}, checkpoint)
    except RecursionError as error:
        raise UserError(damaged) from error
    return content


def saved(checkpoint: str) -> dict[str, Any]:
    """Read what a checkpoint says of itself, without its weights.

    Returns:
        The `version` it was written by, and under `model` and `data` how to build them.

    Raises:
        UserError: See `contents`.
    """
    return contents(checkpoint, mmap=True)["rnn_lab"]


def saved_data(checkpoint: str) -> dict[str, Any]:
    """Read the recipe of the data that a checkpoint was trained on.

    Raises:
        UserError: If it cannot be read, is not ours, or was trained without a data module.
    """
    content = saved(checkpoint)
    if "data" not in content:
        raise UserError(f"{checkpoint} was trained without a data module: it has no vocabulary")
    return content["data"]


def revived(checkpoint: str, build: Callable[[Any], Built], state: Any) -> Built:
    """Build what a checkpoint describes, such as a reader.

    Raises:
        UserError: If the description is of another form.
    """
    try:
        return build(state)
    except Exception as error:  # of any kind: the values are anybody's
        what = str(error) if isinstance(error, UserError) else repr(error)
        raise UserError(f"{checkpoint} is damaged, its input cannot be read: {what}") from error


def check_form(values: dict[str, Any], forms: dict[str, Any]) -> None:
    """Refuse values that are not what they are annotated as.

    Args:
        values: By name.
        forms: What each has to be: plain types, or lists, dictionaries, unions and literals of
            them.

    Raises:
        UserError: If one is missing or something else.
    """
    for name, form in forms.items():
        if name not in values or not _is_of_form(values[name], form):
            raise UserError(f"{name} cannot be {values.get(name)!r}")


def _is_of_form(value: Any, form: Any) -> bool:
    kind, parts = get_origin(form), get_args(form)
    if kind is Literal:
        return value in parts
    if kind is list:
        return isinstance(value, list) and all(_is_of_form(each, parts[0]) for each in value)
    if kind is dict:
        pairs = value.items() if isinstance(value, dict) else [(None, None)]
        return all(_is_of_form(k, parts[0]) and _is_of_form(v, parts[1]) for k, v in pairs)
    if parts:  # of a union
        return any(_is_of_form(value, part) for part in parts)
    return form is Any or type(value) is form


def whole(checkpoint: str | os.PathLike[str]) -> bool:
    """Say whether a checkpoint is what was written: torch reads other bytes without a word."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            return archive.testzip() is None
    except Exception:  # of many kinds, as anything can stand in a damaged header
        return False


def _check_form(content: dict[str, Any], damaged: str) -> None:
    """Refuse a checkpoint that lacks the parts that each of ours has."""
    weights, made = content.get("state_dict"), content["rnn_lab"]
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and torch.is_tensor(value) for name, value in weights.items()
    ):
        raise UserError(f"{damaged}: it has no weights")
    if not isinstance(made, dict) or "model" not in made:
        raise UserError(f"{damaged}: it does not say of what model it is")
    for name in made.keys() & {"model", "data"}:
        match made[name]:
            case {"class_path": str(), "init_args": dict()}:
                continue
        raise UserError(f"{damaged}: it does not say how its {name} is built")
    for name, value in made.get("data", {}).items():
        if name in ("reader", "series", "scaler") and not isinstance(value, dict):
            raise UserError(f"{damaged}: it does not say how raw input is read")
