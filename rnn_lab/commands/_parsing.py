"""Command-line arguments: grouping, precedence, and concise error messages."""

import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from rnn_lab.errors import UserError

CLASS_OPTIONS = ("--model", "--data", "--model.optimizer", "--model.scheduler")


class ConciseErrorsMixin:
    """Mixin for parsers: errors of one line, and no abbreviated options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the message and exit with status 2."""
        print_error(explain(message))
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


def explain(message: str) -> str:
    """Shorten an error message of the parser to one line.

    Example:
        >>> explain('Parser key "trainer.max_epochs": ...')
        'Parser key "trainer.max_epochs": ...'
    """
    key = re.search(r'[Pp]arser key "([^"]+)"', message)
    value = re.search(r"Given value: (.*)", message)
    expected = re.findall(r"Expected a <class '([\w.]+)'>", message)
    types = " or ".join(dict.fromkeys(name for name in expected if name != "NoneType"))
    if key and value and types:
        return f"--{key[1]} must be {types}, got {value[1]}"
    if key and value:
        return f"invalid value for {key[1]}: {value[1]} (see `--help`)"
    missing = re.search(r"required: (?:fit\.|validate\.|test\.)?(\w+)", message)
    if missing:
        takes_name = missing[1] in ("model", "data")
        hint = "=NAME, see `rnn-lab list` for the names" if takes_name else ""
        return f"give --{missing[1]}{hint}"
    return " ".join(message.split())
