"""The classes that a command line names, imported before its parser is built."""

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from lightning import LightningDataModule, LightningModule

import rnn_lab.datamodules
import rnn_lab.models  # noqa: F401  classes of both can be named by their short names
from rnn_lab.commands._parsing import value_of
from rnn_lab.core import trusted_imports
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.core.task import Task
from rnn_lab.errors import UserError

CONFIG = ("-c", "--config")


class NamedClasses:
    """Model and data that a command line chooses by class paths, in options, configs or checkpoint.

    Their modules are imported, those of installed plugins too, so that their classes can be linked
    and named by short names. What the user types, or writes into a config that is typed, is trusted
    as the command itself.

    Args:
        command: `fit`, `validate` or `test`.
        options: Options of the command line with their values.

    Attributes:
        checkpoint: The checkpoint that the options name; None if there is none.

    Raises:
        UserError: If a module cannot be imported, has no such class, or the checkpoint cannot be
            read.
    """

    def __init__(self, command: str, options: Sequence[list[str]]) -> None:
        trusted_imports.import_plugins()
        self._found = {key: _checked(key, path) for key, path in _paths(options)}
        self.checkpoint = _named_checkpoint(command, options)
        if self.checkpoint is not None:
            model = self.checkpoint.model["class_path"]
            model_class = trusted_imports.import_trusted_class(model, self.checkpoint.path)
            self._found.setdefault("model", model_class)
            if self.checkpoint.has_data:
                self._found.setdefault("data", self.checkpoint.data_class)

    def get(self, key: str) -> type | None:
        """Return the class of the `model` or the `data`; None if it is named by a short name."""
        return self._found.get(key)

    @property
    def model_base(self) -> type[LightningModule]:
        """What the parser takes as a model: a task, or any LightningModule where one is named."""
        plain = not issubclass(self._found.get("model", Task), Task)
        return LightningModule if plain else Task

    @property
    def data_base(self) -> type[LightningDataModule]:
        """What the parser takes as data, like `model_base`."""
        plain = not issubclass(self._found.get("data", LabDataModule), LabDataModule)
        return LightningDataModule if plain else LabDataModule


def _paths(options: Sequence[list[str]]) -> Iterator[tuple[str, str]]:
    """Find the dotted class paths of model and data, those of the line after those of configs."""
    for option in options:
        if option[0].partition("=")[0] in CONFIG:
            yield from _paths_in(value_of(option))
    for option in options:
        key = option[0].partition("=")[0].removesuffix(".class_path").removesuffix(".help")
        if key in ("--model", "--data"):
            path = value_of(option)
            if _is_class_path(path):
                yield key.removeprefix("--"), path


def _checked(key: str, path: str) -> type:
    """Import a class and refuse one that cannot be a `model` or `data`.

    Raises:
        UserError: If it is of another kind, or abstract.
    """
    cls = trusted_imports.import_user_class(path)
    base = {"model": LightningModule, "data": LightningDataModule}[key]
    if not issubclass(cls, base):
        raise UserError(f"--{key}={path} is no {base.__name__}")
    if inspect.isabstract(cls):
        lacking = ", ".join(sorted(vars(cls)["__abstractmethods__"]))
        raise UserError(f"--{key}={path} is abstract: it does not define {lacking}")
    return cls


def _paths_in(config: str) -> Iterator[tuple[str, str]]:
    """Find class paths in a config file; the parser reports what is wrong with the file."""
    try:
        content: Any = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return
    sections = content if isinstance(content, dict) else {}
    for key in ("model", "data"):
        section = sections.get(key)
        path = section.get("class_path") if isinstance(section, dict) else section
        if isinstance(path, str) and _is_class_path(path):
            yield key, path


def _is_class_path(word: str) -> bool:
    return bool(trusted_imports.DOTTED.fullmatch(word)) and not Path(word).exists()


def _named_checkpoint(command: str, options: Sequence[list[str]]) -> Checkpoint | None:
    """Open the checkpoint that a command line names.

    Raises:
        UserError: If it names two, or it cannot be read.
    """
    keys = ("--ckpt_path", "--init_from")
    given = [value_of(option) for option in options if option[0].split("=")[0] in keys]
    if command == "fit":  # what is in the run's folder, if anything, is of the same model
        given = [path for path in given if path != "last"]
    if not given or "--help" in (option[0] for option in options):
        return None
    if len(given) > 1:
        raise UserError("give --ckpt_path or --init_from, not both")
    return Checkpoint.open(given[0])
