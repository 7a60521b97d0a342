"""Read and verify checkpoints, once per command and without executing code from them."""

import os
from collections.abc import Callable
from types import NoneType
from typing import Any, Literal, Self, TypeVar, get_args, get_origin
from weakref import WeakValueDictionary

import torch

from rnn_lab.core.checkpoint_pickle import RefusedPickleError, check_archive
from rnn_lab.core.trusted_imports import check_class_paths, import_trusted_class
from rnn_lab.errors import UserError
from rnn_lab.io.wandb_artifacts import local_checkpoint

Built = TypeVar("Built")

FORMAT = 1  # version of the `rnn_lab` entry; increase it when older checkpoints become unreadable
PLAIN_TYPES = (str, int, float, bool, NoneType)
PLAIN_ENTRIES = {"init_args", "tokenizer"}  # of a build specification


class DamagedCheckpoint(UserError):
    """A file that is no checkpoint, or whose bytes differ from those that were written."""


class Checkpoint:
    """The verified content of a checkpoint file.

    No code in the file is executed, and only classes that it is allowed to name are imported (see
    `rnn_lab.core.trusted_imports`).

    Attributes:
        path: Path of the file.
        content: The dictionary that Lightning stored: weights under `state_dict`, the training
            state, and under `rnn_lab` the build specifications of model and data.
    """

    _open: WeakValueDictionary[tuple[Any, ...], Self] = WeakValueDictionary()

    def __init__(self, path: str, content: dict[str, Any]) -> None:
        self.path, self.content = path, content

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Read a checkpoint.

        As long as a checkpoint object is referenced, opening the same file again returns the same
        object, so that a command reads its checkpoint once.

        Args:
            path: Path of the file, or an artifact of Weights & Biases
                (`wandb://ENTITY/PROJECT/NAME:ALIAS`).

        Raises:
            DamagedCheckpoint: If the file is not a checkpoint, or was not written completely.
            UserError: If the file does not exist, belongs to another project, has another format
                version, or names a class that it is not allowed to name.
        """
        path = local_checkpoint(os.fspath(path))
        try:
            status = os.stat(path)
        except OSError as error:
            raise UserError(f"{path} does not exist") from error
        key = cls, os.path.realpath(path), status.st_ino, status.st_mtime_ns, status.st_size
        checkpoint = cls._open.get(key)
        if checkpoint is None:
            checkpoint = cls._open[key] = cls(path, _read(path))
        return checkpoint

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """Weights by parameter name."""
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
        """Whether it stores a data module, which specifies how raw input is preprocessed."""
        return self.content["rnn_lab"]["data"] is not None

    @property
    def data(self) -> dict[str, Any]:
        """Build specification of the data module and its fitted vocabulary, labels and scaling.

        Raises:
            UserError: If the model was trained without a data module.
        """
        if not self.has_data:
            raise UserError(
                f"{self.path} was trained without a data module: it does not store how raw input "
                "is preprocessed"
            )
        return self.content["rnn_lab"]["data"]

    @property
    def data_class(self) -> type:
        """Class of the data module that the model was trained with.

        Raises:
            UserError: If the model was trained without a data module.
        """
        return import_trusted_class(self.data["class_path"], self.path)

    def restore(self, build: Callable[[Any], Built], state: Any) -> Built:
        """Build an object, such as a tokenizer, from its state in the checkpoint.

        Args:
            build: Builds the object from its state.
            state: The stored state.

        Raises:
            UserError: If the object cannot be built from the state.
        """
        try:
            return build(state)
        except Exception as error:  # the values are untrusted and can raise any exception
            reason = str(error) if isinstance(error, UserError) else repr(error)
            raise UserError(
                f"{self.path} is damaged, its preprocessing cannot be restored: {reason}"
            ) from error


def _read(path: str) -> dict[str, Any]:
    damaged = f"{path} is not a checkpoint, or a damaged one"
    try:
        check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except RefusedPickleError as error:
        raise DamagedCheckpoint(f"{damaged}: {error}") from error
    except Exception as error:  # an untrusted file can raise any exception
        raise DamagedCheckpoint(damaged) from error
    if not isinstance(content, dict) or "rnn_lab" not in content:
        raise UserError(f"{path} is a checkpoint of another project")
    try:
        _check_structure(content, path, damaged)
        _drop_local_paths(content["rnn_lab"]["data"], path)
        for spec in (content["rnn_lab"][name] or {} for name in ("model", "data")):
            _check_origin(spec.get("class_path", ""), path)
            check_class_paths({k: spec[k] for k in spec.keys() & {"class_path", "init_args"}}, path)
    except RecursionError as error:
        raise UserError(damaged) from error
    return content


def _check_origin(class_path: str, path: str) -> None:
    """Check that a model or data module is not a demonstration of a library, of any size."""
    if class_path.partition(".")[0] in ("lightning", "torch", "torchmetrics"):
        raise UserError(f"{path} names {class_path}, which rnn_lab does not train")


def _drop_local_paths(data: dict[str, Any] | None, path: str) -> None:
    """Remove the arguments of a data module that name files of a machine.

    They are not stored, so a checkpoint that has them could only make a command read other files.
    """
    if data is not None:
        cls = import_trusted_class(data["class_path"], path)
        for name in getattr(cls, "machine_specific", ()):
            data["init_args"].pop(name, None)


def check_types(values: dict[str, Any], hints: dict[str, Any]) -> None:
    """Check that values match their type hints.

    Args:
        values: Values by name.
        hints: Type hints by name: plain types, or lists, dictionaries, unions and literals of them.

    Raises:
        UserError: If a value is missing or does not match its hint.
    """
    for name, hint in hints.items():
        if name not in values or not _matches(values[name], hint):
            raise UserError(f"{name} cannot be {values.get(name)!r}")


def _matches(value: Any, hint: Any) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in args
    if origin is list:
        return isinstance(value, list) and all(_matches(item, args[0]) for item in value)
    if origin is dict:
        items = value.items() if isinstance(value, dict) else [(None, None)]
        return all(_matches(k, args[0]) and _matches(v, args[1]) for k, v in items)
    if args:  # a union
        return any(_matches(value, arg) for arg in args)
    return hint is Any or type(value) is hint


def _check_plain_values(value: Any, place: str) -> None:
    """Check that a value is built of numbers, strings, lists, and dictionaries by strings."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise UserError(f"{place} has a name that is no string")
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            if type(each) not in PLAIN_TYPES:
                _check_plain_values(each, place)
    elif type(value) not in PLAIN_TYPES:
        raise UserError(f"{place} has a {type(value).__name__}, which is no plain value")


def _check_spec(spec: Any, name: str, damaged: str) -> None:
    """Check that a build specification, of the data optionally, names a class and plain values."""
    match spec:
        case {"class_path": str(), "init_args": dict()}:
            for key in PLAIN_ENTRIES & spec.keys():
                _check_plain_values(spec[key], f"{damaged}: {key} of its {name}")
        case None if name == "data":
            pass
        case _:
            raise UserError(f"{damaged}: it has no build specification of its {name}")


def _check_structure(content: dict[str, Any], path: str, damaged: str) -> None:
    """Check that a checkpoint has the entries that every checkpoint of this project has."""
    weights, metadata = content.get("state_dict"), content["rnn_lab"]
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and torch.is_tensor(value) for name, value in weights.items()
    ):
        raise UserError(f"{damaged}: it has no weights")
    if not isinstance(metadata, dict) or not {"model", "data"} <= metadata.keys():
        raise UserError(f"{damaged}: it does not name its model")
    if not isinstance(metadata.get("format"), int) or metadata["format"] != FORMAT:
        raise UserError(f"{path} was saved in another format by another version of rnn_lab")
    for name in ("model", "data"):
        _check_spec(metadata[name], name, damaged)
    for name, value in (metadata["data"] or {}).items():
        if name in ("tokenizer", "series", "scaler") and not isinstance(value, dict):
            raise UserError(f"{damaged}: it does not store how raw input is preprocessed")
        if name == "labels" and not _matches(value, list[str]):
            raise UserError(f"{damaged}: its labels are no list of strings")
