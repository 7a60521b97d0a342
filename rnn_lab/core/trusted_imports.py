"""Import classes that checkpoints name, from trusted packages only, as imports execute code.

A config that the user names on the command line is trusted like the command itself.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module, invalidate_caches
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from jsonargparse import Namespace
from lightning import LightningDataModule
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from rnn_lab.core.options import fits, option_group
from rnn_lab.errors import UserError
from rnn_lab.io.plugins import plugins

ALLOW_ENV = "RNN_LAB_ALLOW"  # environment variable with further packages, separated by commas
BUILTIN_PACKAGES = ("rnn_lab", "lightning", "torch.nn", "torch.optim", "torchmetrics")
ALLOWED_BASES = (nn.Module, LightningDataModule, Optimizer, LRScheduler)
CLASS_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
WORD = re.compile(r"[\w-]*")  # without a dot, so no class path

_user_packages: set[str] = set()  # packages of classes named on the command line


def import_trusted_class(path: str, source: str) -> Any:
    """Import a class that an untrusted file names.

    Classes are imported only from `rnn_lab`, `lightning`, `torch.nn`, `torch.optim` and
    `torchmetrics`, and only if they are modules, data modules, optimizers or schedules. Further
    packages are trusted if the user named one of their classes on the command line, if they are
    installed as plugins, or if the variable `RNN_LAB_ALLOW` names them. A class of these kinds that
    is loaded already, such as one that a script defines, needs no permission.

    Args:
        path: The class path.
        source: Name of the file, for error messages.

    Raises:
        UserError: If the class is not trusted or does not exist.
    """
    module, _, name = path.rpartition(".")
    loaded = getattr(sys.modules.get(module), "__dict__", {}).get(name)
    if _is_allowed_class(loaded):
        return loaded
    if not CLASS_PATH.fullmatch(path):
        raise UserError(f"{source} names {path!r}, which is not a class path")
    builtin = _within(path, BUILTIN_PACKAGES)
    if not builtin and not _within(path, trusted_packages()):
        raise UserError(
            f"{source} names {path}, which would execute code of another package: "
            f"if you trust it, set {ALLOW_ENV}={path.partition('.')[0]} in the environment"
        )
    try:
        cls = getattr(import_module(module) if builtin else _import(module), name)
    except Exception as error:  # importing a module can raise any exception
        raise UserError(f"{source} names {path}, which cannot be imported: {error}") from error
    if builtin and not _is_allowed_class(cls) and not _within(path, trusted_packages()):
        raise UserError(
            f"{source} names {path}, which is not a model, data module, optimizer or schedule"
        )
    return cls


def import_user_class(path: str) -> type:
    """Import a class that the user named on the command line; trust its package from then on.

    Raises:
        UserError: If the module cannot be imported, or has no such class.
    """
    module, _, name = path.rpartition(".")
    try:
        cls = getattr(_import(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{path} cannot be imported: {error}") from error
    except (Exception, SystemExit) as error:  # importing a module can raise any exception
        raise UserError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(cls, type):
        raise UserError(f"{path} is not a class")
    if not _within(path, BUILTIN_PACKAGES):  # whose allowed classes are always trusted
        _user_packages.add(path.partition(".")[0])
    return cls


def trusted_packages() -> list[str]:
    """Return the packages whose classes a checkpoint may name, besides `BUILTIN_PACKAGES`."""
    allowed = [name.strip() for name in os.environ.get(ALLOW_ENV, "").split(",")]
    return [*allowed, *_user_packages, *(plugin.module.partition(".")[0] for plugin in plugins())]


def import_plugins() -> None:
    """Import the modules of installed plugins, so that their classes are found by short names.

    Raises:
        UserError: If a plugin cannot be imported.
    """
    for plugin in plugins():
        try:
            import_module(plugin.module)
        except Exception as error:  # importing a module can raise any exception
            raise UserError(
                f"the plugin {plugin.name} ({plugin.module}) cannot be imported: {error}"
            ) from error


def _import(module: str) -> Any:
    """Import a trusted module, from the working directory if it is not found elsewhere."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        cwd = os.getcwd()
        if error.name != module.partition(".")[0] or cwd in sys.path:
            raise
        sys.path.append(cwd)
        invalidate_caches()
        return import_module(module)


def check_class_paths(spec: Any, source: str, *, importable: bool = False) -> None:
    """Check that a build specification names only trusted classes.

    The parser of the command line imports every `class_path` in a specification. If an argument
    takes a class or a function, it also imports strings, which may name a file with further specs.

    Args:
        spec: A class path with arguments, or the value of an argument.
        source: Name of the file, for error messages.
        importable: Whether the parser would import strings in `spec`.

    Raises:
        UserError: If the specification names a class that is not trusted, or a file.
    """
    if isinstance(spec, Mapping) and "class_path" in spec:
        _check_spec(spec, source)
    elif isinstance(spec, Mapping | list | tuple):
        for value in spec.values() if isinstance(spec, Mapping) else spec:
            check_class_paths(value, source, importable=importable)
    elif importable and isinstance(spec, str):
        if not WORD.fullmatch(spec):
            import_trusted_class(spec, source)
        if os.path.isfile(spec):
            raise UserError(f"{source} names the file {spec!r} where a class is expected")


def _check_spec(spec: Mapping[str, Any], source: str) -> None:
    """Check a mapping with a class path; the parser also imports classes in its other entries.

    The types of the arguments are those of the named class, at any depth.
    """
    cls = import_trusted_class(str(spec["class_path"]), source)
    for key, value in spec.items():
        if key == "init_args" and isinstance(value, Mapping):
            _check_arguments(cls, value, source)
        elif key != "class_path":
            _check_plain(value, f"{key} of {cls.__name__}", source)
            check_class_paths(value, source, importable=True)


def _check_arguments(cls: Any, arguments: Mapping[str, Any], source: str) -> None:
    """Check the arguments of a constructor; a group of options has arguments of its own."""
    check_plain_arguments(cls, arguments, source)
    hints = _hints(cls)
    own = cls.__module__.startswith("rnn_lab.")  # whose annotations are exact
    for name, argument in arguments.items():
        if own and not fits(argument, hints.get(name, Any)):
            raise UserError(f"{name} of {cls.__name__} in {source} cannot be {argument!r}"[:300])
        group = option_group(cls, name)
        if group is not None and isinstance(argument, Mapping) and "class_path" not in argument:
            _check_arguments(group, argument, source)
        else:
            check_class_paths(argument, source, importable=not _is_plain(hints.get(name, Any)))


def check_plain_arguments(cls: type, arguments: Mapping[str, Any] | Namespace, source: str) -> None:
    """Check that only arguments whose type is a class or a function name classes.

    The parser constructs an object from every mapping with a `class_path`, also in a dictionary of
    options such as `layer_kwargs`, where any allowed class with any size could be constructed.

    Args:
        cls: The class that takes the arguments.
        arguments: Arguments by name, as plain values or as the parser returns them.
        source: Name of the checkpoint, or the option, for error messages.

    Raises:
        UserError: If another argument names a class.
    """
    hints = _hints(cls)
    for name, value in arguments.items():
        group = option_group(cls, name)
        if group is not None and isinstance(value, Mapping | Namespace):
            check_plain_arguments(group, value, source)
        elif not _takes_class(hints.get(name, Any), cls):
            _check_plain(value, f"{name} of {cls.__name__}", source)


def _check_plain(value: Any, place: str, source: str) -> None:
    """Check that a value has no mapping with a class path at any depth."""
    if isinstance(value, Mapping | Namespace):
        if "class_path" in value:
            raise UserError(
                f"{source} names the class {value['class_path']} in {place}, where only numbers, "
                "strings, lists and dictionaries of these are allowed"
            )
        value = value.values()
    elif not isinstance(value, list | tuple):
        return
    for each in value:
        _check_plain(each, place, source)


def _within(path: str, packages: Iterable[str]) -> bool:
    return any(path.startswith(f"{package}.") for package in packages if package)


def _is_allowed_class(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, ALLOWED_BASES)


def _hints(cls: Any) -> dict[str, Any]:
    """Return the types of a constructor's arguments; none where they cannot be resolved."""
    try:
        return get_type_hints(cls.__init__)
    except (AttributeError, NameError, TypeError):
        return {}


def _takes_class(hint: Any, cls: type) -> bool:
    """Return whether an argument of a class may be an object that the parser constructs."""
    if hint is Any:  # or the argument has no annotation
        return not _within(f"{cls.__module__}.", BUILTIN_PACKAGES)
    origin, args = get_origin(hint) or hint, get_args(hint)
    if _is_plain(hint) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return False
    if args and origin not in (type, Callable):
        return any(_takes_class(arg, cls) for arg in args)
    return True


def _is_plain(hint: Any) -> bool:
    if get_origin(hint) is Literal or hint in (str, int, float, bool, NoneType):
        return True
    args = get_args(hint)
    return bool(args) and get_origin(hint) is not type and all(map(_is_plain, args))
