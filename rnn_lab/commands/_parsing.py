"""Command-line arguments: grouping, precedence, and concise error messages."""

import os
import re
import sys
from collections.abc import Collection, Sequence
from contextvars import ContextVar
from difflib import get_close_matches
from typing import Any, NoReturn

from rnn_lab.errors import UserError

DEBUG = "RNN_LAB_DEBUG"  # environment variable with which an error is shown with its traceback
MISSING_HINTS = {  # what a required option is set to
    "model": "=NAME, see `rnn-lab list` for the names",
    "data": "=NAME, see `rnn-lab list` for the names",
    "ckpt_path": "=FILE, or --ckpt_path=best with the --name of a run",
}
CLASS_OPTIONS = ("--model", "--data", "--model.optimizer", "--model.scheduler")


_line: ContextVar[Sequence[str]] = ContextVar("line", default=())  # that is being parsed


class ConciseErrorsMixin:
    """Mixin for parsers: errors of one line, no abbreviated options, and free spelling.

    Options may be spelled with dashes or underscores, and flags need no value.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})

    def parse_args(self, args: Any = None, *rest: Any, **kwargs: Any) -> Any:
        """Parse a command line; errors name its options as they are written there."""
        if isinstance(args, list) and not _line.get():
            from rnn_lab.commands._spelling import as_declared, check_aliases

            actions = vars(self)["_option_string_actions"]
            options = as_declared(split_options(args), actions)
            check_aliases(options, actions)
            args = [arg for option in options for arg in option]
        token = _line.set(_line.get() or tuple(args or ()))
        try:
            return super().parse_args(  # type: ignore[misc]  # of the parser that this is mixed into
                args, *rest, **kwargs
            )
        finally:
            _line.reset(token)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the message and exit with status 2; raise the error itself for debugging."""
        if ex is not None and os.environ.get(DEBUG):
            raise ex
        actions = vars(self)["_actions"]
        accepted = [action.dest for action in actions if action.dest != "help"]
        positional = [
            name
            for action in actions
            if not action.option_strings
            for name in (action.dest, action.metavar)
        ]
        line = split_options(_line.get())
        for option in line:  # of an option with two names, the message has the first
            name = option[0].partition("=")[0]
            action = vars(self)["_option_string_actions"].get(name)
            if action is not None:
                message = message.replace(f'key "{action.dest}"', f'key "{name.lstrip("-")}"')
        print_error(explain(message, line, accepted, positional))
        raise SystemExit(2)


def print_error(line: str) -> None:
    """Print a line to standard error, prefixed with the program's name."""
    print(f"rnn-lab: {line}", file=sys.stderr, flush=True)


def split_options(args: Sequence[str]) -> list[list[str]]:
    """Group command-line arguments into options with their values.

    Example:
        >>> split_options(["--model=LSTM", "-c", "a.yaml", "--lr", "-1"])
        [['--model=LSTM'], ['-c', 'a.yaml'], ['--lr', '-1']]
    """
    options: list[list[str]] = []
    for arg in args:
        is_option = arg.startswith("-") and not arg[1:2].isdigit() and arg != "-"
        if is_option or not options or "=" in options[-1][0]:
            options.append([arg])
        else:
            options[-1].append(arg)
    return options


def separate_options(
    args: Sequence[str], valued: Collection[str], flags: Collection[str]
) -> tuple[list[str], list[str]]:
    """Separate the options of a command from those that it passes on to `fit`.

    Args:
        args: Command-line arguments.
        valued: Names of options of the command with a value, without dashes before them.
        flags: Options of the command without a value, with their dashes; `--help` is one of them.

    Example:
        >>> separate_options(["--jobs", "2", "--model=LSTM", "--dry_run"], ["jobs"], ["--dry-run"])
        (['--jobs=2', '--dry-run'], ['--model=LSTM'])
    """
    own: list[str] = []
    others: list[str] = []
    remaining = iter(args)
    for arg in remaining:
        written, equals, value = arg.partition("=")
        key = written.replace("_", "-")
        if key.startswith("--") and key[2:] in valued:
            following = [value] if equals else [text for text in [next(remaining, None)] if text]
            own.append("=".join([key, *following]))
        elif key in ("-h", "--help", *flags):
            own.append(key + equals + value)
        else:
            others.append(arg)
    return own, others


def sort_by_precedence(options: list[list[str]]) -> list[list[str]]:
    """Sort options stably: config files, then options that choose a class, then all others."""

    def rank(option: list[str]) -> int:
        key = option[0].partition("=")[0]
        if key in ("-c", "--config"):
            return 0
        return 1 + CLASS_OPTIONS.index(key) if key in CLASS_OPTIONS else 1 + len(CLASS_OPTIONS)

    return sorted(options, key=rank)


def value_of(option: list[str]) -> str:
    """Return the value of an option, `--key=value` or `--key value`."""
    key, equals, value = option[0].partition("=")
    if equals:
        return value
    if len(option) != 2:
        raise UserError(f"{key} needs a value")
    return option[1]


def explain(
    message: str,
    line: Sequence[list[str]] = (),
    accepted: Sequence[str] = (),
    positional: Sequence[str] = (),
) -> str:
    """Shorten an error message of the parser to one line, and keep its reason.

    Args:
        message: The message.
        line: Options of the command line.
        accepted: Options of the parser that failed, which may be that of a nested class.
        positional: Names of its arguments that are not options.

    Example:
        >>> explain('Parser key "lr": ... Given value: x', [["--model.optimizer.lr=x"]])
        'invalid value for --model.optimizer.lr: x'
    """
    key = re.search(r'[Pp]arser key "([^"]+)"', message)
    value = re.search(r"(?:Given|Got) value: (.*)", message)
    if key and value:
        return _explain_value(_written(key[1], line), value[1], message)
    unknown = re.search(r"Option '([^']+)' is not accepted", message)
    if unknown:
        return _explain_unknown(unknown[1], line, accepted)
    missing = re.search(r"required: (?:fit\.|validate\.|test\.)?(\w+)", message)
    if missing:
        if missing[1] in positional:
            return f"give {missing[1].upper()}"
        hint = MISSING_HINTS.get(missing[1], "")
        return f"give --{_owner(line)}{missing[1]}{hint}"
    unrecognized = re.search(r"unrecognized arguments: (--[\w.-]+)", message)
    near = get_close_matches(unrecognized[1][2:], accepted, 1, 0.8) if unrecognized else []
    hint = f"; did you mean --{near[0]}?" if near else ""
    return " ".join(message.split()) + hint


def _explain_value(key: str, value: str, message: str) -> str:
    """Explain why a value is invalid, by the types or the reason in the message."""
    reason = re.search(r"No module named '[^']+'|[Mm]odule '[^']+' has no attribute '\w+'", message)
    if reason:
        return f"{key}={value} cannot be imported: {reason[0]}"
    expected = re.findall(r"Expected a <class '([\w.]+)'>", message)
    types = " or ".join(dict.fromkeys(name for name in expected if name != "NoneType"))
    if types:
        return f"{key} must be {types}, got {value}"
    literals = re.findall(r"- Expected a typing\.Literal\[([^\]]*)\]", message)
    choices = dict.fromkeys(name.strip("' ") for text in literals for name in text.split(","))
    if choices:
        return f"{key} must be one of {', '.join(choices)}, got {value}"
    return f"invalid value for {key}: {value}"


def _explain_unknown(name: str, line: Sequence[list[str]], accepted: Sequence[str]) -> str:
    """Name an unknown argument as it is written, with those that are accepted."""
    names = [each for each in accepted if "." not in each]
    near = get_close_matches(name, names, 3) or names
    hint = f"; it can be {', '.join(near)}" if near else ""
    return f"unknown option {_written(name, line)}{hint}"


def _written(key: str, line: Sequence[list[str]]) -> str:
    """Return an option as it is written on the command line, of which a parser knows the end."""
    for option in line:
        written = option[0].partition("=")[0].removesuffix("+")
        if f".{written.removeprefix('--')}".endswith(f".{key}"):
            return written
    return f"--{key}" if "." in key else key


def _owner(line: Sequence[list[str]]) -> str:
    """Return the prefix of the options of the only class, besides model and data, on the line."""
    owners = []
    for option in line:
        key, _, value = "=".join(option).partition("=")
        name = value.rpartition(".")[2]
        if name.isidentifier() and name[0].isupper() and key not in ("--model", "--data"):
            owners.append(
                key.removeprefix("--").removesuffix("+").removesuffix(".class_path") + "."
            )
    return owners[0] if len(owners) == 1 else ""
