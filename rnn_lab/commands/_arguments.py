"""Options of the chosen model and data, checked by names alone, which a source file has, too."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from rnn_lab.errors import UserError

LITERALS = ("none", "null", "true", "false")


class Constructor(NamedTuple):
    """The arguments of a model or of data.

    Attributes:
        kind: `model` or `data`.
        name: Name of the class.
        arguments: The names of the arguments, each with the fields of the group of options that it
            takes, or None.
    """

    kind: str
    name: str
    arguments: Mapping[str, Sequence[str] | None]


def argument_in(option: str, kind: str) -> tuple[str, str]:
    """Return the argument, and the field of its group, that an option sets; or empty strings.

    Example:
        >>> argument_in("--model.dropouts.layer", "model")
        ('dropouts', 'layer')

    Args:
        option: Name of the option.
        kind: `model` or `data`.
    """
    if not option.startswith(f"--{kind}."):
        return "", ""
    rest = option.partition(".")[2].removeprefix("init_args.").removesuffix("+")
    argument, _, field = rest.partition(".")
    return argument, field


def check_argument(constructor: Constructor, option: str) -> None:
    """Check that a model or data accepts an option; suggest close matches otherwise.

    Args:
        constructor: Its arguments.
        option: Name of the option.

    Raises:
        UserError: If there is no such argument, or no such field in its group.
    """
    kind, name, arguments = constructor
    argument, field = argument_in(option, kind)
    if not argument:
        return
    if argument not in (*arguments, "help", "class_path"):
        near = difflib.get_close_matches(argument, arguments, 3) or arguments
        raise UserError(f"{name} has no argument {argument}; it has {', '.join(near)}")
    group = arguments.get(argument)
    if not field or group is None:
        return
    if field == "help":
        raise UserError(f"unknown option {option}: --{kind}.help={name} shows its options")
    field = field.partition(".")[0]
    if field not in group:
        fields = difflib.get_close_matches(field, group, 3) or group
        known = ", ".join(f"{argument}.{each}" for each in fields)
        raise UserError(f"{name} has no option {argument}.{field}; it has {known}")


def check_name(option: str, name: str, names: Collection[str]) -> None:
    """Check that a class has a short name; suggest close matches otherwise.

    Args:
        option: Name of the option that chooses the class.
        name: Its value; class paths and configs are not checked.
        names: The short names.

    Raises:
        UserError: If the name is unknown.
    """
    has_list = option in ("--model", "--data")
    if not has_list and not name.isidentifier():
        return
    if name in names or name.lower() in LITERALS or "." in name or "{" in name:
        return
    public = [each for each in names if not each.startswith("_")]
    near = difflib.get_close_matches(name, public, 3, 0.5)
    lists = "`rnn-lab list` shows the names" if has_list else "give a class path"
    hint = f"did you mean {' or '.join(near)}?" if near else lists
    raise UserError(f"unknown {option}={name}: {hint}")


def check_required(command: str, options: Sequence[list[str]]) -> None:
    """Check that `test` and `validate` are given a checkpoint.

    Args:
        command: `fit`, `validate` or `test`.
        options: Options with their values.

    Raises:
        UserError: If they are not; otherwise random weights would be evaluated.
    """
    keys = {option[0].partition("=")[0] for option in options}
    if command != "fit" and not keys & {"--ckpt_path", "--help", "-h"}:
        raise UserError(f"{command} requires --ckpt_path")
