"""Names and class paths of model and data in options and in config files."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from rnn_lab.commands._configs import OPTIONS
from rnn_lab.commands._parsing import value_of


def named_classes(options: Sequence[list[str]]) -> Iterator[tuple[str, str]]:
    """Yield what names `model` and `data`, in config files first, then in options.

    Args:
        options: Options of the command line with their values.
    """
    yield from named_in_configs(options)
    for option in options:
        key = option[0].partition("=")[0].removesuffix(".class_path").removesuffix(".help")
        if key in ("--model", "--data"):
            yield key.removeprefix("--"), value_of(option)


def named_in_configs(options: Sequence[list[str]]) -> Iterator[tuple[str, str]]:
    """Yield what names `model` and `data` in config files; see `named_classes`."""
    for option in options:
        if option[0].partition("=")[0] in OPTIONS:
            yield from _named_in(value_of(option))


def is_class_path(value: str) -> bool:
    """Return whether a value is a class path rather than a short name, a file or a config."""
    parts = value.split(".")
    return len(parts) > 1 and all(map(str.isidentifier, parts)) and not Path(value).exists()


def _named_in(config: str) -> Iterator[tuple[str, str]]:
    """Yield the classes that a config file names; the parser reports errors in the file."""
    try:
        content: Any = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return
    sections = content if isinstance(content, dict) else {}
    for key in ("model", "data"):
        section = sections.get(key)
        path = section.get("class_path") if isinstance(section, dict) else section
        if isinstance(path, str):
            yield key, path
