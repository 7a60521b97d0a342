"""Mistakes in a command line, said in one line."""

import re
import sys
from typing import Any, NoReturn


class OneLineErrors:
    """Mixin for parsers: errors of one line, and no completion of shortened options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the message and leave with status 2."""
        print(f"rnn-lab: {explain(message)}", file=sys.stderr)
        raise SystemExit(2)


def explain(message: str) -> str:
    """Bring a message of the parser to one line.

    Example:
        >>> explain('Parser key "trainer.max_epochs": ...')
        'Parser key "trainer.max_epochs": ...'
    """
    key = re.search(r'[Pp]arser key "([^"]+)"', message)
    given = re.search(r"Given value: (.*)", message)
    wanted = re.findall(r"Expected a <class '([\w.]+)'>", message)
    if key and given and wanted:
        kinds = " or ".join(dict.fromkeys(kind for kind in wanted if kind != "NoneType"))
        return f"--{key[1]} takes {kinds}, got {given[1]}"
    missing = re.search(r"required: \w+\.(model|data)", message)
    if missing:
        return f"give --{missing[1]}=NAME: `rnn-lab list` shows the names"
    return " ".join(message.split())
