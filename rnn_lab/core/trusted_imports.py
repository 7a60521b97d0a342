"""The classes that a checkpoint may name: to import a module is to run its code.

A config that is named on the command line is trusted as the command itself, and not held to this.
"""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from importlib import import_module, invalidate_caches
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from lightning import LightningDataModule
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from rnn_lab.errors import UserError
from rnn_lab.io.plugins import plugins

ALLOW = "RNN_LAB_ALLOW"  # environment variable: further packages, separated by commas
OURS = ("rnn_lab", "lightning", "torch.nn", "torch.optim", "torchmetrics")
BASES = (nn.Module, LightningDataModule, Optimizer, LRScheduler)
DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
WORD = re.compile(r"[\w-]*")  # names no module: an import path has a dot

_typed: set[str] = set()  # packages that the user named on the command line


def import_trusted_class(path: str, source: str) -> Any:
    """Import the class that a file from elsewhere names.

    Nothing is imported but from `rnn_lab`, `lightning`, `torch.nn`, `torch.optim` and
    `torchmetrics`, and of these only modules, data modules, optimizers and schedules. Further
    packages are those that the user typed on the command line, that are installed as plugins, or
    that the variable `RNN_LAB_ALLOW` names. A class of these kinds that this process has loaded
    already, as one that a script defines, needs no permission.

    Args:
        path: The class path.
        source: The file, for messages.

    Raises:
        UserError: If it is elsewhere, or there is no such class.
    """
    module, _, name = path.rpartition(".")
    loaded = getattr(sys.modules.get(module), "__dict__", {}).get(name)
    if _is_kind(loaded):
        return loaded
    if not DOTTED.fullmatch(path):
        raise UserError(f"{source} names {path!r}, which is no class path")
    trusted = _within(path, trusted_packages())
    if not trusted and not _within(path, OURS):
        raise UserError(
            f"{source} names {path}, and importing that would run code of another package: "
            f"if you trust it set {ALLOW}={path.partition('.')[0]} in the environment"
        )
    try:
        found = getattr(_import(module) if trusted else import_module(module), name)
    except Exception as error:  # of any kind, a module runs when it is imported
        raise UserError(f"{source} names {path}, which cannot be imported: {error}") from error
    if not trusted and not _is_kind(found):
        raise UserError(f"{source} names {path}, which is no model, data, optimizer or schedule")
    return found


def import_user_class(path: str) -> type:
    """Import a class that the user typed; its package is trusted from then on.

    Raises:
        UserError: If its module cannot be imported, or has no such class.
    """
    module, _, name = path.rpartition(".")
    try:
        found = getattr(_import(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{path} cannot be imported: {error}") from error
    except (Exception, SystemExit) as error:  # of any kind, a module runs when it is imported
        raise UserError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(found, type):
        raise UserError(f"{path} is no class")
    if not _within(path, OURS):  # of these, models and their like are trusted in any case
        _typed.add(path.partition(".")[0])
    return found


def trusted_packages() -> list[str]:
    """Packages whose classes a checkpoint may name, besides those of `OURS`."""
    allowed = [each.strip() for each in os.environ.get(ALLOW, "").split(",")]
    return [*allowed, *_typed, *(plugin.module.partition(".")[0] for plugin in plugins())]


def import_plugins() -> None:
    """Import the modules of installed plugins, so that their classes are known by name.

    Raises:
        UserError: If one cannot be imported.
    """
    for plugin in plugins():
        try:
            import_module(plugin.module)
        except Exception as error:  # of any kind, a module runs when it is imported
            raise UserError(
                f"the plugin {plugin.name} ({plugin.module}) cannot be imported: {error}"
            ) from error


def _import(module: str) -> Any:
    """Import a module that is trusted, if need be from the working folder."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        here = os.getcwd()
        if error.name != module.partition(".")[0] or here in sys.path:
            raise
        sys.path.append(here)
        invalidate_caches()
        return import_module(module)


def check_class_paths(recipe: Any, source: str, *, strictly: bool = False) -> None:
    """Refuse a recipe in which something from outside the allowed packages is named.

    The command line's parser imports every `class_path` below a recipe, and where an argument
    takes a class or a function also strings, which may be the name of a file with more of them.

    Args:
        recipe: A class path with arguments, or a value among these.
        source: The file, for messages.
        strictly: Whether strings in it may be imported.

    Raises:
        UserError: If so.
    """
    if isinstance(recipe, Mapping) and "class_path" in recipe:
        plain = _plain_arguments(import_trusted_class(str(recipe["class_path"]), source))
        for key, value in recipe.items():
            if key == "init_args" and isinstance(value, Mapping):
                for name, argument in value.items():
                    check_class_paths(argument, source, strictly=strictly or name not in plain)
            elif key != "class_path":
                check_class_paths(value, source, strictly=True)
    elif isinstance(recipe, Mapping):
        for value in recipe.values():
            check_class_paths(value, source, strictly=strictly)
    elif isinstance(recipe, list | tuple):
        for value in recipe:
            check_class_paths(value, source, strictly=strictly)
    elif strictly and isinstance(recipe, str):
        if not WORD.fullmatch(recipe):
            import_trusted_class(recipe, source)
        if os.path.isfile(recipe):
            raise UserError(f"{source} names the file {recipe!r} where a class or a word belongs")


def _within(path: str, packages: Iterable[str]) -> bool:
    return any(path.startswith(f"{package}.") for package in packages if package)


def _is_kind(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, BASES)


def _plain_arguments(cls: Any) -> set[str]:
    """The arguments of a constructor for which no string is imported."""
    try:
        hints = get_type_hints(cls.__init__)
    except (AttributeError, NameError, TypeError):
        return set()
    return {name for name, hint in hints.items() if _is_plain(hint)}


def _is_plain(hint: Any) -> bool:
    if get_origin(hint) is Literal or hint in (str, int, float, bool, NoneType):
        return True
    if is_dataclass(hint) and isinstance(hint, type):
        return all(map(_is_plain, get_type_hints(hint).values()))
    parts = get_args(hint)
    return bool(parts) and get_origin(hint) is not type and all(map(_is_plain, parts))
