"""What a checkpoint holds, read once and without running anything in it."""

import os
import zipfile
from collections.abc import Callable
from typing import Any, Literal, Self, TypeVar, get_args, get_origin
from weakref import WeakValueDictionary

import torch

from rnn_lab.core.trusted_imports import check_class_paths, import_trusted_class
from rnn_lab.errors import UserError

Built = TypeVar("Built")

FORMAT = 1  # of what stands under `rnn_lab`; raise it when older checkpoints cannot be read


class DamagedCheckpoint(UserError):
    """A checkpoint that is not what was written."""


class Checkpoint:
    """A checkpoint whose file was read and verified once.

    Nothing in the file is run, and only classes that it may name are imported (see
    `rnn_lab.core.trusted_imports`).

    Attributes:
        path: Its file.
        content: What Lightning stored: weights under `state_dict`, the state of training, and under
            `rnn_lab` what the checkpoint states about itself.
    """

    _open: WeakValueDictionary[tuple[Any, ...], Self] = WeakValueDictionary()

    def __init__(self, path: str, content: dict[str, Any]) -> None:
        self.path, self.content = path, content

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Read a checkpoint.

        While one that was opened is in use, opening the same file again returns the same object,
        so that a command reads its checkpoint once.

        Raises:
            DamagedCheckpoint: If the file is not a checkpoint, or was not written completely.
            UserError: If it does not exist, belongs to another project or an older format, or names
                a class that it may not name.
        """
        path = os.fspath(path)
        try:
            status = os.stat(path)
        except OSError as error:
            raise UserError(f"{path} does not exist") from error
        key = cls, os.path.realpath(path), status.st_ino, status.st_mtime_ns, status.st_size
        opened = cls._open.get(key)
        if opened is None:
            opened = cls._open[key] = cls(path, _read(path))
        return opened

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """The weights by name."""
        return self.content["state_dict"]

    @property
    def model(self) -> dict[str, Any]:
        """Class path and constructor arguments of the task."""
        return self.content["rnn_lab"]["model"]

    @property
    def model_name(self) -> str:
        """Name of the task's class."""
        return self.model["class_path"].rpartition(".")[2]

    @property
    def has_data(self) -> bool:
        """Whether it was trained with a data module, which knows how raw input is read."""
        return self.content["rnn_lab"]["data"] is not None

    @property
    def data(self) -> dict[str, Any]:
        """How the data module is built, and what it knows: vocabulary, labels, scaling.

        Raises:
            UserError: If the model was trained without a data module.
        """
        if not self.has_data:
            raise UserError(
                f"{self.path} was trained without a data module: it does not say how raw input is "
                "read"
            )
        return self.content["rnn_lab"]["data"]

    @property
    def data_class(self) -> type:
        """Class of the data module it was trained with.

        Raises:
            UserError: If there was none.
        """
        return import_trusted_class(self.data["class_path"], self.path)

    def restore(self, build: Callable[[Any], Built], state: Any) -> Built:
        """Build what the checkpoint describes, such as a tokenizer.

        Raises:
            UserError: If the description has another form.
        """
        try:
            return build(state)
        except Exception as error:  # of any kind: the values are anybody's
            what = str(error) if isinstance(error, UserError) else repr(error)
            raise UserError(f"{self.path} is damaged, its input cannot be read: {what}") from error


def _read(path: str) -> dict[str, Any]:
    damaged = f"{path} is not a checkpoint, or a damaged one"
    if not is_intact(path):
        raise DamagedCheckpoint(damaged)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of any kind: what is unpickled is anybody's
        raise DamagedCheckpoint(damaged) from error
    if not isinstance(content, dict) or "rnn_lab" not in content:
        raise UserError(f"{path} is a checkpoint of another project")
    _check_form(content, path, damaged)
    try:
        for spec in (content["rnn_lab"][name] or {} for name in ("model", "data")):
            check_class_paths({k: spec[k] for k in spec.keys() & {"class_path", "init_args"}}, path)
    except RecursionError as error:
        raise UserError(damaged) from error
    return content


def check_types(values: dict[str, Any], forms: dict[str, Any]) -> None:
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


def is_intact(path: str | os.PathLike[str]) -> bool:
    """Whether a checkpoint holds the bytes that were written: torch reads others silently."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # of many kinds, as anything can stand in a damaged header
        return False


def _check_form(content: dict[str, Any], path: str, damaged: str) -> None:
    """Refuse a checkpoint that lacks the parts that each of ours has."""
    weights, stated = content.get("state_dict"), content["rnn_lab"]
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and torch.is_tensor(value) for name, value in weights.items()
    ):
        raise UserError(f"{damaged}: it has no weights")
    if not isinstance(stated, dict) or not {"model", "data"} <= stated.keys():
        raise UserError(f"{damaged}: it does not say of what model it is")
    if stated.get("format") != FORMAT:
        raise UserError(f"{path} was saved in another format by another version of rnn_lab")
    for name in ("model", "data"):
        match stated[name]:
            case {"class_path": str(), "init_args": dict()}:
                continue
            case None if name == "data":
                continue
        raise UserError(f"{damaged}: it does not say how its {name} is built")
    for name, value in (stated["data"] or {}).items():
        if name in ("reader", "series", "scaler") and not isinstance(value, dict):
            raise UserError(f"{damaged}: it does not say how raw input is read")
