"""Checks of what the command line asks for, before anything is built."""

import difflib
import inspect
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from rnn_lab.commands._parsing import value_of
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.core.task import Task
from rnn_lab.errors import UserError


def linked() -> list[str]:
    """All names that data modules declare as `linked`, those of users' packages among them."""
    names: dict[str, None] = {}
    pending: list[Any] = [LabDataModule]
    while pending:
        cls = pending.pop()
        names |= dict.fromkeys(cls.linked)
        pending += cls.__subclasses__()
    return sorted(names)


def known_classes(base: Any) -> dict[str, Any]:
    """All classes below a base that can be built, by name."""
    found: dict[str, Any] = {}
    for cls in base.__subclasses__():
        found |= {cls.__name__: cls, **known_classes(cls)}
    return {name: cls for name, cls in found.items() if not inspect.isabstract(cls)}


def is_family(cls: type) -> bool:
    """Whether other architectures of ours are made of a class."""
    below: list[type] = cls.__subclasses__()
    return any(each.__module__.startswith("rnn_lab.") for each in below)


KINDS: dict[str, Callable[[], dict[str, type]]] = {
    "--model": lambda: dict(known_classes(Task)),
    "--data": lambda: dict(known_classes(LabDataModule)),
}


def check_names(options: list[list[str]]) -> None:
    """Refuse a model or data that nobody knows, with the nearest names.

    Raises:
        UserError: If a short name is unknown.
    """
    for option in options:
        key = option[0].partition("=")[0]
        if key not in KINDS:
            continue
        name, known = value_of(option), KINDS[key]()
        if name in known or "." in name or "{" in name:
            continue
        near = difflib.get_close_matches(name, known, 3, 0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}"
        raise UserError(f"{key}={name} is unknown: {hint}")


def check_arguments(options: list[list[str]], named_class: Callable[[str], type | None]) -> None:
    """Refuse an argument that the chosen model or data lacks, with the nearest names.

    Args:
        options: Options of the command line with their values.
        named_class: Returns the class of `model` or `data` where a class path names it.

    Raises:
        UserError: If the class, chosen on the line or by a checkpoint, has no such argument.
    """
    keys = {option[0].partition("=")[0]: option for option in options}
    for key in ("model", "data"):
        short = value_of(keys[f"--{key}"]) if f"--{key}" in keys else ""
        cls = KINDS[f"--{key}"]().get(short) or named_class(key)
        if cls is None:
            continue
        accepted = list(inspect.signature(cls).parameters)
        for word in keys:
            head, _, rest = word.partition(".")
            name = rest.removeprefix("init_args.").partition(".")[0].removesuffix("+")
            if head == f"--{key}" == "--model" and name in linked():
                raise UserError(f"{name} comes from the data")
            if head == f"--{key}" and name and name not in (*accepted, "help", "class_path"):
                near = difflib.get_close_matches(name, accepted, 3) or accepted
                raise UserError(f"{cls.__name__} has no {name}; it has {', '.join(near)}")


def class_of(config: Any, key: str) -> Any:
    """The class that a config chooses.

    Raises:
        UserError: If it chooses none.
    """
    chosen = config.get(key)
    if chosen is None:
        raise UserError(f"give --{key}=NAME: `rnn-lab list` shows the names")
    module, _, name = chosen.class_path.rpartition(".")
    return getattr(import_module(module), name)


def check_fit(model: type[Task], data: type[LabDataModule]) -> None:
    """Refuse data that the model cannot read.

    Raises:
        UserError: If the batches of the data are not those that the model reads.
    """
    for cls in (model, data):
        if not hasattr(cls, "batch_type"):
            raise UserError(f"{cls.__name__} has no batch_type: set it as a class attribute")
    reads, gives = model.batch_type, data.batch_type
    if reads is gives:
        return
    known = known_classes(Task).items()
    fitting = [name for name, cls in known if cls.batch_type is gives and not is_family(cls)]
    near = difflib.get_close_matches(model.__name__, fitting, 1, 0)
    hint = f"; try {near[0]}" if near else ""
    kinds = {cls: cls.__name__.removesuffix("Batch").lower() for cls in (reads, gives)}
    raise UserError(
        f"{model.__name__} reads {kinds[reads]}; {data.__name__} gives {kinds[gives]}{hint}"
    )


def check_same(checkpoint: Checkpoint, model: dict[str, Any], strictly: bool) -> None:
    """Refuse another model than the checkpoint's; strictly, any other argument of it, too.

    Args:
        checkpoint: The checkpoint.
        model: Class path and arguments of the model that is asked for.
        strictly: Whether training is to be resumed.

    Raises:
        UserError: If the model, its optimizer or its schedule differs.
    """
    path, content = checkpoint.path, checkpoint.content
    state = {"optimizer_states", "lr_schedulers", "loops", "epoch", "global_step"}
    if strictly and not (content.keys() >= state and content["optimizer_states"]):
        raise UserError(
            f"{path} has no state of training to go on from: to start anew from its weights give "
            f"--init_from={path} instead"
        )
    if checkpoint.model_name != model["class_path"].rpartition(".")[2]:
        raise UserError(f"{path} is of a {checkpoint.model_name}: leave --model out")
    before = part(checkpoint.model, linked())["init_args"]
    changed = [name for name in before if model["init_args"].get(name) != before[name]]
    if strictly and changed:
        raise UserError(
            f"{path} was trained with another {changed[0]}, which a resumed run keeps: "
            f"to start anew from its weights give --init_from={path} instead"
        )


@contextmanager
def refusal_named(path: str | None) -> Iterator[None]:
    """Turn what Lightning raises while it takes a checkpoint up into one line with its name."""
    try:
        yield
    except Exception as error:  # of any kind: the values are anybody's
        for frame in traceback.extract_tb(error.__traceback__):
            taking_up = frame.name.startswith(("restore", "resume_start"))
            if taking_up and frame.filename.endswith("checkpoint_connector.py"):
                raise UserError(f"cannot go on from {path}: {error!r}") from error
        raise


def part(recipe: dict[str, Any], without: Sequence[str] = ()) -> dict[str, Any]:
    """The part of a checkpoint's recipe that a config has."""
    kept = {k: v for k, v in recipe["init_args"].items() if k not in without}
    return {"class_path": recipe["class_path"], "init_args": kept}
