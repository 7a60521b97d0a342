"""Show models, data and configs by task, and layers; describe what is named.

Source files are parsed instead of imported, so that the command starts fast.

Examples:
    rnn-lab list
    rnn-lab list forecasting imdb LSTMClassifier MinGRU
"""

import ast
import difflib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from rnn_lab.commands._config_comments import commented
from rnn_lab.commands._configs import shipped_configs
from rnn_lab.commands._help import class_help
from rnn_lab.commands._sources import (
    FACES,
    PACKAGE,
    SourceClass,
    docstring_of,
    imported_classes,
    module_file,
    parse,
)
from rnn_lab.errors import UserError
from rnn_lab.io.plugins import plugins

SOURCE = re.compile(r"Source: (.+?) \(\d{4}\),\s+(\S*\w)", re.DOTALL)
TITLES = {"model": "models, for --model", "data": "data, for --data"}
CONFIGS, PROFILES = "configs, for -c", "settings that can be added to a config, for -c"
LEGEND = """
  cost: multiply-adds per step with D inputs and H units
  parallel: all steps can be computed at once, because the state is linear in the previous state"""


class Layer(NamedTuple):
    """Description of a recurrent layer.

    Attributes:
        name: Its name in `rnn_lab.nn.LAYERS`.
        year: Year of publication.
        cost: Multiply-adds per step.
        parallel: Whether all steps can be computed at once, yes or no.
        source: Authors and URL of the publication.
        summary: First line of the docstring.
    """

    name: str
    year: str
    cost: str
    parallel: str
    source: str
    summary: str


def main(options: Sequence[str]) -> None:
    """Print what there is, or describe what is named.

    Args:
        options: Names of tasks, models, data, layers and configs; none for an overview.

    Raises:
        UserError: If a name is unknown.
    """
    names = list(options)
    known = descriptions()
    for name in names:
        if name not in known:
            raise UserError(_unknown(name, known))
    parts = [known[name]() for name in names] or list(overview())
    sys.stdout.write("\n\n".join(part.rstrip() for part in parts) + "\n")


def overview() -> Iterator[str]:
    """Yield the parts of the overview."""
    yield from map(task_table, tasks())
    yield f"layers, for --model.layer:\n{layer_table(layers())}{LEGEND}"
    profiles = [name for name, path in shipped_configs().items() if path.parent.name not in tasks()]
    yield f"{PROFILES}:\n{table(configs(profiles))}"
    yield f"plugins:\n{table(installed())}"


def descriptions() -> dict[str, Callable[[], str]]:
    """Return functions that describe what has a name, by that name."""
    found: dict[str, Callable[[], str]] = {}
    for task in tasks():
        found[task] = partial(task_table, task)
    for layer in layers():
        found[layer.name] = partial(layer_table, [layer])
    for kind in FACES:
        for cls in public_classes(kind):
            found[cls.name] = partial(class_help, kind, cls)
    for name, path in shipped_configs().items():
        found[name] = partial(_config, path)
    return found


def _config(path: Path) -> str:
    return commented(path.read_text(encoding="utf-8"))


def _unknown(name: str, known: Iterable[str]) -> str:
    """Say that a name is unknown, with near ones, whatever their case."""
    if name.startswith("-"):
        return f"list takes names, not options, got {name}"
    lower = {each: each.lower() for each in known}
    close = difflib.get_close_matches(name.lower(), {*lower.values()}, 3)
    near = sorted(
        (each for each in lower if lower[each] in close), key=lambda each: close.index(lower[each])
    )
    hint = f"did you mean {' or '.join(near)}?" if near else "`rnn-lab list` shows all names"
    return f"unknown name {name!r}: {hint}"


def tasks() -> list[str]:
    """Return the names of the tasks, which are those of their folders."""
    return sorted(path.parent.name for path in (PACKAGE / "tasks").glob("*/__init__.py"))


def task_table(task: str) -> str:
    """Return the models, data and configs of a task, with a line each."""
    title = docstring_of(PACKAGE / "tasks" / task / "__init__.py").rstrip(".")
    own = [name for name, path in shipped_configs().items() if path.parent.name == task]
    parts = {
        TITLES[kind]: [
            (each.name, each.summary)
            for each in public_classes(kind)
            if each.file.parent.name == task
        ]
        for kind in FACES
    }
    rows = {**parts, CONFIGS: configs(own)}
    width = max(len(name) for name, _ in chain(*rows.values()))
    lines = [f"  {title}:\n{table(each, width)}" for title, each in rows.items()]
    return "\n".join([title, *lines])


def _summaries(kind: str, task: str) -> list[tuple[str, str]]:
    classes = (cls for cls in public_classes(kind) if cls.file.parent.name == task)
    return [(cls.name, cls.summary) for cls in classes]


def table(rows: Iterable[tuple[str, str]], width: int = 0) -> str:
    """Format names and descriptions as two columns, the first of at least this width."""
    rows = list(rows)
    width = max([width, *(len(name) for name, _ in rows)])
    return "\n".join(f"    {name:<{width}}  {text}" for name, text in rows) or "    none"


def layer_table(rows: Iterable[Layer]) -> str:
    """Format layers as a table with a header and two lines per layer: columns and summary."""
    rows = [Layer("", "year", "cost", "parallel", "source", ""), *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:4]
    lines = []
    for row in rows:
        columns = [f"{value:<{width}}" for value, width in zip(row, widths, strict=False)]
        lines += ["  ".join(["", *columns, row.source]), f"  {'':<{widths[0]}}  {row.summary}"]
    return "\n".join(line for line in lines if line.strip())


def layers() -> list[Layer]:
    """Return the recurrent layers, in the order of `rnn_lab.nn.LAYERS`."""
    file = PACKAGE / "nn" / "layers" / "registry.py"
    classes = {cls.name: cls for cls in imported_classes(file)}
    return [_layer(classes[name]) for name in _table_names(file, "LAYERS")]


def public_classes(kind: str) -> list[SourceClass]:
    """Return the public models or data modules.

    Args:
        kind: `model` or `data`.
    """
    return list(imported_classes(PACKAGE / f"{FACES[kind]}.py"))


def configs(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return shipped configs with the first line of the comment of each."""
    paths = shipped_configs()
    texts = {name: paths[name].read_text(encoding="utf-8") for name in names}
    return [(name, text.partition("\n")[0].lstrip("# ")) for name, text in texts.items()]


def installed() -> list[tuple[str, str]]:
    """Return the installed plugins, with the first line of their modules' docstrings."""
    return [(plugin.name, _summary(plugin.module)) for plugin in plugins()]


def _summary(module: str) -> str:
    """Return the first line of a module's docstring, without importing it."""
    file = module_file(module)
    docstring = docstring_of(file) if file else ""
    return f"{module}: {docstring.partition(chr(10))[0] or 'no description'}"


def _table_names(file: Path, table: str) -> list[str]:
    """Return the names of the classes in a dict comprehension assigned in a file."""
    for node in parse(file).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == table:
            assert isinstance(node.value, ast.DictComp)
            classes = node.value.generators[0].iter
            return [name.id for name in ast.walk(classes) if isinstance(name, ast.Name)]
    raise LookupError(f"{file} has no {table}")


def _layer(cls: SourceClass) -> Layer:
    """Describe a layer by the attributes and the docstring of its class."""
    attributes = cls.constants()
    match = SOURCE.search(cls.docstring)
    assert match is not None, f"the docstring of {cls.name} has no source"
    parallel, source = "yes" if attributes["parallel"] else "no", ", ".join(match.groups())
    return Layer(
        cls.name, str(attributes["year"]), attributes["cost"], parallel, source, cls.summary
    )
