"""A config with a comment at each line, from the docstrings of the arguments that it sets."""

import re
import textwrap
from collections.abc import Iterator

import yaml

from rnn_lab.commands._help import SECTIONS
from rnn_lab.commands._sources import (
    FACES,
    SourceClass,
    find_class,
    first_sentence,
    public_class,
)

WIDTH, MAX_COLUMN = 100, 50  # of lines; of comments, unless a line is longer

Comment = tuple[int, str]  # line from 0, and the comment


def commented(text: str) -> str:
    """Return a config with a comment beside each line; those that it already has are kept.

    Args:
        text: The config as YAML.
    """
    config = yaml.compose(text)
    assert isinstance(config, yaml.MappingNode)
    described = dict(_of_sections(config))
    lines = [re.split(r"(?<=\S) +# ", line, maxsplit=1) for line in text.splitlines()]
    column = 2 + min(MAX_COLUMN, max((len(lines[number][0]) for number in described), default=0))
    comments = (own[0] if own else described.get(n, "") for n, (_, *own) in enumerate(lines))
    pairs = zip((line[0] for line in lines), comments, strict=True)
    return "".join(_beside(line, comment, column) for line, comment in pairs)


def _beside(line: str, comment: str, column: int) -> str:
    """Return a line followed by a comment, or by one on the next line if it is long."""
    shown = comment[:1].upper() + comment[1:]
    comments = [f"# {each}" for each in textwrap.wrap(shown, WIDTH - column - 2)]
    if comments and len(line) + 2 <= column:
        comments[0] = f"{line:<{column}}{comments[0]}"
    else:
        comments.insert(0, line)
    return "\n".join([comments[0], *(" " * column + each for each in comments[1:]), ""])


def _of_sections(config: yaml.MappingNode) -> Iterator[Comment]:
    for key, value in config.value:
        cls = find_class(SECTIONS[key.value])
        assert cls is not None
        yield key.start_mark.line, cls.summary
        yield from _of_value(value, cls, key.value)


def _of_value(node: yaml.Node, group: SourceClass | None, kind: str = "") -> Iterator[Comment]:
    """Yield the comments within a value.

    Args:
        node: The value.
        group: The class whose arguments a mapping without a class path gives.
        kind: `model` or `data` if a class path may be a short name.
    """
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _of_value(item, None)
    if not isinstance(node, yaml.MappingNode):
        return
    entries = {key.value: (key.start_mark.line, value) for key, value in node.value}
    if "class_path" in entries:
        yield from _of_class(entries, kind)
    elif group is not None:
        yield from _of_arguments(entries, group)


def _of_class(entries: dict[str, tuple[int, yaml.Node]], kind: str) -> Iterator[Comment]:
    line, path = entries["class_path"]
    cls = public_class(kind, path.value) if kind in FACES else find_class(path.value)
    assert cls is not None
    yield line, cls.summary
    if "init_args" in entries:
        line, arguments = entries["init_args"]
        yield line, f"Arguments of {cls.name}."
        yield from _of_value(arguments, cls)


def _of_arguments(entries: dict[str, tuple[int, yaml.Node]], cls: SourceClass) -> Iterator[Comment]:
    arguments = cls.arguments()
    for name, (line, value) in entries.items():
        yield line, first_sentence(arguments[name].text)
        yield from _of_value(value, arguments[name].group)
