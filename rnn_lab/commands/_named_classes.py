"""The classes named on the command line, imported before the parser is built."""

import inspect
from collections.abc import Sequence
from typing import Any

from lightning import LightningDataModule, LightningModule

import rnn_lab.datamodules
import rnn_lab.models  # noqa: F401  # classes of both can be named by their short names
from rnn_lab.commands._checks import concrete_subclasses
from rnn_lab.commands._class_paths import is_class_path, named_classes, named_in_configs
from rnn_lab.commands._parsing import value_of
from rnn_lab.core import trusted_imports
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.core.task import Task
from rnn_lab.errors import UserError


class NamedClasses:
    """Model and data classes given by class paths in options, config files or a checkpoint.

    Their modules and those of installed plugins are imported, so that their classes are linked and
    have short names. Class paths on the command line, or in config files given there, are trusted
    like the command itself.

    Args:
        command: `fit`, `validate` or `test`.
        options: Options of the command line with their values.

    Attributes:
        checkpoint: The checkpoint given in the options; None if there is none.

    Raises:
        UserError: If a module cannot be imported or has no such class, or if the checkpoint cannot
            be read.
    """

    def __init__(self, command: str, options: Sequence[list[str]]) -> None:
        trusted_imports.import_plugins()
        self._classes = {
            key: _import_checked(key, path)
            for key, path in named_classes(options)
            if is_class_path(path)
        }
        self._short_names = {
            key: name for key, name in named_in_configs(options) if name.isidentifier()
        }
        self.checkpoint = _named_checkpoint(command, options)
        if self.checkpoint is not None:
            model = self.checkpoint.model["class_path"]
            model_class = trusted_imports.import_trusted_class(model, self.checkpoint.path)
            self._classes.setdefault("model", model_class)
            if self.checkpoint.has_data:
                self._classes.setdefault("data", self.checkpoint.data_class)

    def get(self, key: str) -> type | None:
        """Return the class of `model` or `data`, unless the command line has its short name."""
        base: Any = {"model": Task, "data": LabDataModule}[key]
        short = concrete_subclasses(base).get(self._short_names.get(key, ""))
        return self._classes.get(key) or short

    @property
    def model_base(self) -> type[LightningModule]:
        """Base class of accepted models: `Task`, or `LightningModule` if such a class is named."""
        is_task = issubclass(self._classes.get("model", Task), Task)
        return Task if is_task else LightningModule

    @property
    def data_base(self) -> type[LightningDataModule]:
        """Base class of accepted data modules, like `model_base`."""
        is_lab = issubclass(self._classes.get("data", LabDataModule), LabDataModule)
        return LabDataModule if is_lab else LightningDataModule


def _import_checked(key: str, path: str) -> type:
    """Import a class and check that it can be used as `model` or `data`.

    Raises:
        UserError: If it has another base class, or is abstract.
    """
    cls = trusted_imports.import_user_class(path)
    base = {"model": LightningModule, "data": LightningDataModule}[key]
    if not issubclass(cls, base):
        raise UserError(f"--{key}={path} is not a {base.__name__}")
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(vars(cls)["__abstractmethods__"]))
        raise UserError(f"--{key}={path} is abstract: it does not define {missing}")
    return cls


def _named_checkpoint(command: str, options: Sequence[list[str]]) -> Checkpoint | None:
    """Open the checkpoint given on the command line.

    Raises:
        UserError: If two are given, or it cannot be read.
    """
    keys = ("--ckpt_path", "--init_from")
    paths = [value_of(option) for option in options if option[0].split("=")[0] in keys]
    if command == "fit":  # the checkpoint in the run directory has the same model
        paths = [path for path in paths if path != "last"]
    if not paths or "--help" in (option[0] for option in options):
        return None
    if len(paths) > 1:
        raise UserError("give --ckpt_path or --init_from, not both")
    return Checkpoint.open(paths[0])
