"""Validation of the command line before anything is instantiated."""

import difflib
import inspect
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from importlib import import_module
from typing import Any

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from rnn_lab.commands._arguments import (
    Constructor,
    argument_in,
    check_argument,
    check_name,
)
from rnn_lab.commands._parsing import DEBUG, value_of
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.core.options import check_named_arguments, option_group
from rnn_lab.core.task import Task
from rnn_lab.core.trusted_imports import check_plain_arguments
from rnn_lab.errors import UserError
from rnn_lab.nn.layers.registry import layer_class


def linked_names() -> list[str]:
    """Return all names that data modules declare as `linked`, including those of user packages."""
    names: dict[str, None] = {}
    pending: list[Any] = [LabDataModule]
    while pending:
        cls = pending.pop()
        names |= dict.fromkeys(cls.linked)
        pending += cls.__subclasses__()
    return sorted(names)


def concrete_subclasses(base: Any) -> dict[str, Any]:
    """Return the subclasses of a base that can be instantiated, by name."""
    classes: dict[str, Any] = {}
    for cls in base.__subclasses__():
        classes |= {cls.__name__: cls, **concrete_subclasses(cls)}
    return {name: cls for name, cls in classes.items() if not inspect.isabstract(cls)}


def is_base_class(cls: type) -> bool:
    """Return whether other classes of this package derive from a class."""
    subclasses: list[type] = cls.__subclasses__()
    return any(subclass.__module__.startswith("rnn_lab.") for subclass in subclasses)


CLASSES_BY_OPTION: dict[str, Callable[[], dict[str, type]]] = {
    "--model": lambda: dict(concrete_subclasses(Task)),
    "--data": lambda: dict(concrete_subclasses(LabDataModule)),
    "--model.optimizer": lambda: concrete_subclasses(Optimizer),
    "--model.scheduler": lambda: concrete_subclasses(LRScheduler),
    "--trainer.callbacks+": lambda: concrete_subclasses(Callback),
    "--trainer.logger": lambda: concrete_subclasses(Logger),
}


def class_of(
    options: list[list[str]], named_class: Callable[[str], type | None]
) -> Callable[[str], type | None]:
    """Return a function from `model` or `data` to its class, if it is known.

    Args:
        options: Options of the command line with their values, which may have a short name.
        named_class: Returns the class that is given by a class path, a config or a checkpoint.
    """
    keys = [option[0].partition("=")[0] for option in options]
    pairs = zip(keys, options, strict=True)
    named = {key: value_of(option) for key, option in pairs if key in CLASSES_BY_OPTION}
    return lambda key: (
        CLASSES_BY_OPTION[f"--{key}"]().get(named.get(f"--{key}", "")) or named_class(key)
    )


def check_names(options: list[list[str]]) -> None:
    """Check that the short names of model and data exist; suggest close matches otherwise.

    Raises:
        UserError: If a short name is unknown.
    """
    for option in options:
        key = option[0].partition("=")[0]
        if key in CLASSES_BY_OPTION:
            check_name(key, value_of(option), CLASSES_BY_OPTION[key]())


def check_arguments(options: list[list[str]], named_class: Callable[[str], type | None]) -> None:
    """Check that the model or data accepts each argument; suggest close matches otherwise.

    Args:
        options: Options of the command line with their values.
        named_class: Returns the class of `model` or `data` if it is known, see `class_of`.

    Raises:
        UserError: If the class, chosen on the command line or by a checkpoint, has no such
            argument.
    """
    keys = {option[0].partition("=")[0]: option for option in options}
    for key in ("model", "data"):
        cls = named_class(key)
        if cls is None:
            _check_no_help(key, keys)
            continue
        if issubclass(cls, (Task, LabDataModule)):
            check_named_arguments(cls)
        constructor = _constructor(key, cls)
        for option, (written, *_) in keys.items():
            name, field = argument_in(option, key)
            if key == "model" and name in linked_names():
                raise UserError(f"{name} is set by the data: remove {option}")
            check_argument(constructor, option)
            if name and not field and "=" in written:
                _check_group(cls, name, option, value_of(keys[option]))


def _constructor(kind: str, cls: type) -> Constructor:
    """Return the arguments of a class, and the fields of its groups of options."""
    names = inspect.signature(cls).parameters
    groups = {name: option_group(cls, name) for name in names}
    return Constructor(
        kind,
        cls.__name__,
        {name: group and [each.name for each in fields(group)] for name, group in groups.items()},
    )


def _check_no_help(key: str, options: Iterable[str]) -> None:
    """Refuse to show the options of a group in a class that is not chosen."""
    for option in options:
        if option.startswith(f"--{key}.") and option.endswith(".help") and option.count(".") > 1:
            raise UserError(f"unknown option {option}: --{key}.help=NAME shows all options of NAME")


def argument_names(named_class: Callable[[str], type | None]) -> list[str]:
    """Return the options of the chosen model and data, without those that the data sets."""
    classes = {key: named_class(key) for key in ("model", "data")}
    linked = set(linked_names())
    return [
        f"--{key}.{name}"
        for key, cls in classes.items()
        if cls is not None
        for name in inspect.signature(cls).parameters
        if name not in linked
    ]


def check_fitted(options: list[list[str]], checkpoint: Checkpoint | None) -> None:
    """Check that no option changes what the data takes from a checkpoint, such as a vocabulary.

    Raises:
        UserError: If one does.
    """
    if checkpoint is None or not checkpoint.has_data:
        return
    cls = checkpoint.data_class
    fitted = cls.fitted_arguments if issubclass(cls, LabDataModule) else ()
    for option in options:
        key = option[0].partition("=")[0]
        name = key.removeprefix("--data.").removeprefix("init_args.").partition(".")[0]
        if key.startswith("--data.") and name in fitted:
            raise UserError(
                f"{key} has no effect, because {checkpoint.path} contains the fitted {name}: "
                "remove it"
            )


def _check_group(cls: type, argument: str, option: str, value: str) -> None:
    """Check that a group of options is not set to None, unless None is its default."""
    group, parameter = option_group(cls, argument), inspect.signature(cls).parameters.get(argument)
    if group is None or parameter is None or parameter.default is None:
        return
    if value.lower() in ("null", "none", "~", ""):
        example = f"{option}.{fields(group)[0].name}"
        raise UserError(f"{option} is a group of options such as {example}, not {value}: remove it")


def chosen_class(config: Any, key: str) -> Any:
    """Return the class that a config chooses.

    Raises:
        UserError: If it chooses none, or names a class in an argument that takes plain values.
    """
    chosen = config.get(key)
    if chosen is None:
        raise UserError(f"give --{key}=NAME, see `rnn-lab list` for the names")
    module, _, name = chosen.class_path.rpartition(".")
    cls = getattr(import_module(module), name)
    check_plain_arguments(cls, chosen.get("init_args") or {}, f"--{key}")
    return cls


def check_layer(model: type, arguments: Any) -> None:
    """Check the name of the recurrent layer of one of our models, before any data are read.

    Args:
        model: Class of the model.
        arguments: Arguments of its constructor; None if they are not known.

    Raises:
        UserError: If there is no layer of that name.
    """
    name = (arguments or {}).get("layer")
    if not model.__module__.startswith("rnn_lab.") or not isinstance(name, str):
        return
    try:
        layer_class(name)
    except ValueError as error:
        raise UserError(str(error)) from error


def check_batch_type(model: type[Task], data: type[LabDataModule]) -> None:
    """Check that the data module provides the batches that the model expects.

    Raises:
        UserError: If the batch types differ.
    """
    for cls in (model, data):
        try:
            _ = cls.batch_type
        except AttributeError as error:
            raise UserError(
                f"{cls.__name__} does not define the class attribute batch_type"
            ) from error
    expected, provided = model.batch_type, data.batch_type
    if expected is provided:
        return
    tasks = concrete_subclasses(Task).items()
    matching = [
        name for name, cls in tasks if cls.batch_type is provided and not is_base_class(cls)
    ]
    near = difflib.get_close_matches(model.__name__, matching, 1, 0)
    hint = f"; try {near[0]}" if near else ""
    raise UserError(
        f"{model.__name__} expects batches of type {expected.__name__}, but {data.__name__} "
        f"provides {provided.__name__}{hint}"
    )


def check_same_model(checkpoint: Checkpoint, model: dict[str, Any], resume: bool) -> None:
    """Check that the model is the checkpoint's; when resuming, also all of its arguments.

    Args:
        checkpoint: The checkpoint.
        model: Class path and arguments of the requested model.
        resume: If True, training is resumed.

    Raises:
        UserError: If the model, or when resuming an argument such as the optimizer, differs.
    """
    path, content = checkpoint.path, checkpoint.content
    required = {"optimizer_states", "lr_schedulers", "loops", "epoch", "global_step"}
    if resume and not (content.keys() >= required and content["optimizer_states"]):
        raise UserError(
            f"{path} has no training state to resume from; use --init_from={path} to start a new "
            "run from these weights"
        )
    if checkpoint.model_name != model["class_path"].rpartition(".")[2]:
        raise UserError(f"{path} was saved by {checkpoint.model_name}: remove --model")
    saved = without_links(checkpoint.model, linked_names())["init_args"]
    changed = [name for name in saved if model["init_args"].get(name) != saved[name]]
    if resume and changed:
        raise UserError(
            f"cannot change {changed[0]} when resuming {path}; use --init_from={path} to start a "
            "new run from these weights"
        )


def check_max_epochs(checkpoint: Checkpoint, max_epochs: int | None) -> None:
    """Check that a run to resume has not been trained for more epochs than requested.

    Raises:
        UserError: If it has.
    """
    try:
        loop = checkpoint.content["loops"]["fit_loop"]
        trained = int(loop["epoch_progress"]["current"]["processed"])
    except (KeyError, TypeError, ValueError):  # a damaged checkpoint is refused when it is restored
        return
    if max_epochs is not None and -1 < max_epochs < trained:
        raise UserError(
            f"{checkpoint.path} was trained for {trained} epochs, more than --trainer.max_epochs="
            f"{max_epochs}: set --trainer.max_epochs above {trained} to train further"
        )


def reason_of(error: BaseException) -> str:
    """Return the reason of an error in one line, without what the parser wraps around it."""
    while not isinstance(error, UserError) and isinstance(
        error.__cause__, ValueError | RuntimeError
    ):
        error = error.__cause__
    size = re.search(r"allocate memory: you tried to allocate (\d+) bytes", str(error))
    if size:
        return f"out of memory: {int(size[1]) / 1e9:.1f} GB more are needed; reduce the sizes"
    expected = isinstance(error, UserError | ValueError)
    return str(error) if expected else f"{error} (set {DEBUG}=1 to see the traceback)"


@contextmanager
def named_error(path: str | None) -> Iterator[None]:
    """Convert errors of Lightning while it restores a checkpoint into one line with its path."""
    try:
        yield
    except Exception as error:  # of any type: the checkpoint may contain any values
        for frame in traceback.extract_tb(error.__traceback__):
            restoring = frame.name.startswith(("restore", "resume_start"))
            if restoring and frame.filename.endswith("checkpoint_connector.py"):
                raise UserError(f"cannot resume from {path}: {error!r}") from error
        raise


def without_links(spec: dict[str, Any], linked: Sequence[str] = ()) -> dict[str, Any]:
    """Return class path and arguments of a checkpoint's spec, without the linked arguments."""
    init_args = {k: v for k, v in spec["init_args"].items() if k not in linked}
    return {"class_path": spec["class_path"], "init_args": init_args}
