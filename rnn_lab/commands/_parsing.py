"""The words of a command line: their order, and mistakes in them said in one line."""

import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from rnn_lab.errors import UserError

CHOICES = ("--model", "--data", "--model.optimizer", "--model.scheduler")  # of a class


class ConciseErrorsMixin:
    """Mixin for parsers: errors of one line, and no completion of shortened options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the message and leave with status 2."""
        tell(explain(message))
        raise SystemExit(2)


def tell(line: str) -> None:
    """Print a line to standard error, under the program's name."""
    print(f"rnn-lab: {line}", file=sys.stderr, flush=True)


def split_options(words: Sequence[str]) -> list[list[str]]:
    """Group words into options with their values.

    Example:
        >>> split_options(["--model=LSTM", "-c", "a.yaml", "--lr", "-1"])
        [['--model=LSTM'], ['-c', 'a.yaml'], ['--lr', '-1']]
    """
    options: list[list[str]] = []
    for word in words:
        starts = word.startswith("-") and not word[1:2].isdigit() and word != "-"
        if starts or not options or "=" in options[-1][0]:
            options.append([word])
        else:
            options[-1].append(word)
    return options


def in_order(options: list[list[str]]) -> list[list[str]]:
    """Put config files first, then choices of a class, then all else, each in its order."""

    def place(option: list[str]) -> int:
        key = option[0].partition("=")[0]
        if key in ("-c", "--config"):
            return 0
        return 1 + CHOICES.index(key) if key in CHOICES else 1 + len(CHOICES)

    return sorted(options, key=place)


def value_of(option: list[str]) -> str:
    """The value of an option, `--key=value` or `--key value`."""
    key, equals, value = option[0].partition("=")
    if equals:
        return value
    if len(option) != 2:
        raise UserError(f"{key} needs a value")
    return option[1]


def explain(message: str) -> str:
    """Bring a message of the parser to one line.

    Example:
        >>> explain('Parser key "trainer.max_epochs": ...')
        'Parser key "trainer.max_epochs": ...'
    """
    key = re.search(r'[Pp]arser key "([^"]+)"', message)
    given = re.search(r"Given value: (.*)", message)
    wanted = re.findall(r"Expected a <class '([\w.]+)'>", message)
    kinds = " or ".join(dict.fromkeys(kind for kind in wanted if kind != "NoneType"))
    if key and given and kinds:
        return f"--{key[1]} takes {kinds}, got {given[1]}"
    if key and given:
        return f"{key[1]} cannot be {given[1]}: `--help` shows what it can be"
    missing = re.search(r"required: (?:fit\.|validate\.|test\.)?(\w+)", message)
    if missing:
        named = missing[1] in ("model", "data")
        return f"give --{missing[1]}" + ("=NAME: `rnn-lab list` shows the names" if named else "")
    return " ".join(message.split())
