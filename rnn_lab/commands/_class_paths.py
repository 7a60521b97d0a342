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


def default_optimizer(options: Sequence[list[str]]) -> list[list[str]]:
    """Return the option of the default optimizer if only options of it are given.

    Example:
        >>> default_optimizer([["--model.optimizer.lr=0.1"]])
        [['--model.optimizer=torch.optim.Adam']]
    """
    keys = [option[0].partition("=")[0] for option in options]
    has_options = any(key.startswith("--model.optimizer.") for key in keys)
    if not has_options or "--model.optimizer" in keys or _optimizer_in_configs(options):
        return []
    return [["--model.optimizer=torch.optim.Adam"]]


def _optimizer_in_configs(options: Sequence[list[str]]) -> bool:
    paths = [value_of(option) for option in options if option[0].partition("=")[0] in OPTIONS]
    models = [model for path in paths if isinstance(model := _sections(path).get("model"), dict)]
    arguments = [{**model, **(model.get("init_args") or {})} for model in models]
    return any(each.get("optimizer") for each in arguments)


def _sections(config: str) -> dict[str, Any]:
    """Read a config file; the parser reports errors in it."""
    try:
        content: Any = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _named_in(config: str) -> Iterator[tuple[str, str]]:
    """Yield the classes that a config file names."""
    sections = _sections(config)
    for key in ("model", "data"):
        section = sections.get(key)
        path = section.get("class_path") if isinstance(section, dict) else section
        if isinstance(path, str):
            yield key, path
