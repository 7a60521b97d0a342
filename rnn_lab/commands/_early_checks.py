"""Mistakes on the command line of `fit`, `validate` and `test` that are found without torch.

Classes and options are read from source files. Whatever these do not tell is left to the checks of
the parser, which give the same messages: classes of other packages, values, checkpoints.
"""

from collections.abc import Sequence
from functools import cache

from rnn_lab.commands._arguments import (
    Constructor,
    argument_in,
    check_argument,
    check_name,
    check_required,
)
from rnn_lab.commands._class_paths import named_classes
from rnn_lab.commands._configs import read_options
from rnn_lab.commands._declared_options import options_added_by
from rnn_lab.commands._help import COMMANDS, SECTIONS
from rnn_lab.commands._sources import (
    FACES,
    PACKAGE,
    SourceClass,
    find_class,
    imported_classes,
    public_class,
    public_names,
)
from rnn_lab.commands._spelling import check_known
from rnn_lab.io.plugins import plugins

NOT_NESTED = ("--help", "--config", "--print_config")
CHECKPOINTS = {"--ckpt_path", "--init_from"}
HELP = ("-h", "--help")
BASIC = ("--help", "--config", "--print_config", "--seed_everything", "--ckpt_path")


def check_early(command: str, arguments: Sequence[str]) -> None:
    """Report unknown configs, options, models and data before torch is imported.

    Args:
        command: `fit`, `validate` or `test`.
        arguments: Command-line arguments after it.

    Raises:
        UserError: If one is unknown, or a required checkpoint is not given.
    """
    options = read_options(arguments)
    keys = [option[0].partition("=")[0] for option in options]
    if any(key in HELP or key.endswith(".help") for key in keys):
        return
    check_required(command, options)
    names = dict(named_classes(options))
    if CHECKPOINTS & set(keys) or plugins() or not all(map(_is_ours, names.values())):
        return
    for kind, name in names.items():
        if f"--{kind}" in keys:
            check_name(f"--{kind}", name, public_names(kind))
    found = [(kind, public_class(kind, name.split(".")[-1])) for kind, name in names.items()]
    constructors = [_constructor(kind, cls) for kind, cls in found if cls is not None]
    if len(constructors) < len(names):
        return
    check_known(options, option_names(), nested_options(), lambda: _settable(constructors))
    for constructor in constructors:
        _check_arguments(constructor, keys)


@cache
def option_names() -> set[str]:
    """Return the options of `fit`, without those of the model and the data."""
    names = {*BASIC, *(f"--{prefix}" for prefix in SECTIONS)}
    added = options_added_by(COMMANDS / "_run_options.py", "add_run_options")
    names |= {name for option in added for name in option.names}
    for prefix in SECTIONS.keys() - FACES.keys():
        cls = find_class(SECTIONS[prefix])
        assert cls is not None
        names |= {f"--{prefix}.{argument}" for argument in cls.argument_names()}
    return names


def nested_options() -> set[str]:
    """Return those of these options whose value may be a class, which has options of its own."""
    groups = {f"--{prefix}" for prefix in SECTIONS.keys() - FACES.keys()}
    return option_names() - groups - set(NOT_NESTED)


def _is_ours(name: str) -> bool:
    return "." not in name or name.startswith(f"{PACKAGE.name}.")


def _constructor(kind: str, cls: SourceClass) -> Constructor:
    groups = {name: argument.group for name, argument in cls.arguments().items()}
    fields = {name: list(group.arguments()) if group else None for name, group in groups.items()}
    return Constructor(kind, cls.name, fields)


def _check_arguments(constructor: Constructor, keys: Sequence[str]) -> None:
    """Check the options of a class; those that data can set are left to the parser."""
    for key in keys:
        argument, _ = argument_in(key, constructor.kind)
        if argument in constructor.arguments or argument not in _linked_names():
            check_argument(constructor, key)


def _settable(constructors: Sequence[Constructor]) -> list[str]:
    """Return the options of classes, without those that the data sets."""
    linked = _linked_names()
    return [
        f"--{constructor.kind}.{argument}"
        for constructor in constructors
        for argument in constructor.arguments
        if argument not in linked
    ]


@cache
def _linked_names() -> set[str]:
    """Return all names that data modules declare as `linked`."""
    data = imported_classes(PACKAGE / f"{FACES['data']}.py")
    return {name for cls in data for name in cls.constants().get("linked", ())}
