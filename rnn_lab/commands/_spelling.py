"""Spelling of options: dashes or underscores, flags, lists of one name, and unknown names."""

import difflib
import json
from argparse import Action
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from typing import Any, get_args, get_type_hints

from rnn_lab.errors import UserError

Options = list[list[str]]
HELP_HINT = "`--help` shows the options"
NONE = ("null", "None")  # values that stand for no value
MOVED = {  # names that people know from other tools
    "--optimizer": "--model.optimizer",
    "--lr_scheduler": "--model.scheduler",
    "--lr": "--model.optimizer.lr",
    "--epochs": "--trainer.max_epochs",
    "--seed": "--seed_everything",
}


def with_underscores(options: Options) -> Options:
    """Spell the names of options with underscores.

    Example:
        >>> with_underscores([["--ckpt-path=a-b"], ["-c", "x-y.yaml"]])
        [['--ckpt_path=a-b'], ['-c', 'x-y.yaml']]
    """
    return [_renamed(option, lambda key: key[:2] + key[2:].replace("-", "_")) for option in options]


def as_declared(options: Options, actions: Mapping[str, Action]) -> Options:
    """Spell options as a parser declares them: their names, flags, and lists of one name.

    Args:
        options: Options with their values, see `split_options`.
        actions: The options of the parser by name.
    """
    declared = {key.replace("-", "_"): key for key in actions if key.startswith("--")}
    respelled = [
        _renamed(option, lambda key: declared.get(key.replace("-", "_"), key)) for option in options
    ]
    return [_completed(each, _hint_of(actions.get(_key(each)))) for each in respelled]


def check_aliases(options: Options, actions: Mapping[str, Action]) -> None:
    """Check that an option with two long names is not given by both.

    The short name of `--config`, `-c`, can be given together with it: all configs are read.

    Raises:
        UserError: If it is.
    """
    names: dict[int, str] = {}
    for option in options:
        key = option[0].partition("=")[0]
        if not key.startswith("--") or key not in actions:
            continue
        if names.setdefault(id(actions[key]), key) != key:
            raise UserError(f"give {names[id(actions[key])]} or {key}, not both")


def as_annotated(options: Options, named_class: Callable[[str], type | None]) -> Options:
    """Spell the flags and lists of one name of model and data as their classes annotate them.

    Args:
        options: Options with their values.
        named_class: Returns the class of `model` or `data` if it is known.
    """
    return [_completed(option, _annotation(_key(option), named_class)) for option in options]


def check_known(
    options: Options,
    names: Collection[str],
    nested: Collection[str],
    arguments: Callable[[], Collection[str]] = list,
    hint: str = HELP_HINT,
) -> None:
    """Check that a parser has the options; suggest close matches otherwise.

    Args:
        options: Options with their values.
        names: The options of the parser.
        nested: Those of them whose value may be a class, which has options of its own.
        arguments: Returns the options of the chosen classes, such as `--model.hidden_dim`.
        hint: What the message advises if no option is a close match.

    Raises:
        UserError: If it lacks one.
    """
    for option in options:
        key = option[0].partition("=")[0].removesuffix("+")
        if not key.startswith("--") or key in names or _is_nested(key, nested):
            continue
        for old, new in MOVED.items():
            if "--model" in names and (key == old or key.startswith(f"{old}.")):
                raise UserError(f"unknown option {key}: give {key.replace(old, new, 1)}")
        near = _near_options(key, names, arguments)
        advice = f"did you mean {' or '.join(near)}?" if near else hint
        raise UserError(f"unknown option {key}: {advice}")


def nested_names(actions: Mapping[str, Action]) -> list[str]:
    """Return the options of a parser whose value may be a class; see `check_known`."""
    from jsonargparse._typehints import ActionTypeHint  # its import is slow

    return [name for name, action in actions.items() if isinstance(action, ActionTypeHint)]


def _near_options(
    key: str, names: Collection[str], arguments: Callable[[], Collection[str]]
) -> list[str]:
    """Return options with a name that is close to an unknown one."""
    candidates = [
        name for name in names if name.startswith("--") and not name.endswith(("help", "+"))
    ]
    near = difflib.get_close_matches(key, candidates, 3, 0.8)
    return near or _near_ends(key, [*candidates, *arguments()])


def _near_ends(key: str, names: Collection[str]) -> list[str]:
    """Return the options whose last part is close to a name without a prefix."""
    ends = [name.rpartition(".")[2] for name in names]
    near = difflib.get_close_matches(key.removeprefix("--"), ends, 2, 0.8)
    return [name for name in names if name.rpartition(".")[2] in near]


def _renamed(option: list[str], rename: Callable[[str], str]) -> list[str]:
    key, equals, value = option[0].partition("=")
    if not key.startswith("--"):
        return option
    return [rename(key) + equals + value, *option[1:]]


def _key(option: list[str]) -> str:
    return option[0].partition("=")[0]


def _completed(option: list[str], hint: Any) -> list[str]:
    """Set a flag without a value to true, and put one name between the brackets of a list."""
    key, equals, value = option[0].partition("=")
    if len(option) == 1 and not equals:
        return [f"{key}=true"] if key.startswith("--") and _accepts_bool(hint) else option
    value = value if equals else option[1]
    if not _is_list_of_names(hint) or len(option) > 2 or value[:1] in ("", "[") or value in NONE:
        return option
    return [f"{key}={json.dumps([value])}"]


def _accepts_bool(hint: Any) -> bool:
    return bool in (hint, *get_args(hint))


def _is_list_of_names(hint: Any) -> bool:
    return hint in (list[str], list[str] | None)


def _hint_of(action: Action | None) -> Any:
    return None if action is None else vars(action).get("_typehint")  # of jsonargparse


def _annotation(key: str, named_class: Callable[[str], type | None]) -> Any:
    """Return the type of an option of model or data; None if it is not known."""
    head, _, rest = key.removeprefix("--").partition(".")
    cls = named_class(head) if head in ("model", "data") and rest else None
    if cls is None:
        return None
    name, _, field = rest.removeprefix("init_args.").partition(".")
    from rnn_lab.core.options import option_group  # `status` must not import torch

    group = option_group(cls, name)
    if group is not None and field:
        is_field = field in {each.name for each in fields(group)}
        return get_type_hints(group)[field] if is_field else None
    try:
        hints = get_type_hints(cls.__init__)  # type: ignore[misc]  # of exactly this class
        return hints.get(name)
    except (AttributeError, NameError, TypeError):
        return None


def _is_nested(key: str, names: Collection[str]) -> bool:
    """Return whether an option belongs to a class that another option chooses."""
    parts = key.split(".")
    return any(".".join(parts[:n]) in names for n in range(1, len(parts)))
