"""Show architectures, layers, datasets, configs and plugins.

Source files are parsed instead of imported, so that the command starts fast.

Examples:
    rnn-lab list
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from rnn_lab.commands._configs import shipped_configs
from rnn_lab.errors import UserError
from rnn_lab.io.plugins import plugins

PACKAGE = Path(__file__).parent.parent
SOURCE = re.compile(r"Source: (.+?) \(\d{4}\),\s+(\S*\w)", re.DOTALL)
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
    """Print architectures, layers, datasets, shipped configs and plugins."""
    if options:
        raise UserError(f"list takes no options, got {' '.join(options)}")
    for title, rows in (
        ("architectures", table(architectures())),
        ("layers", layer_table(layers()) + LEGEND),
        ("datasets", table(datasets())),
        ("configs, for -c", table(configs())),
        ("plugins", table(installed())),
    ):
        sys.stdout.write(f"{title}:\n{rows}\n\n")


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Format names and descriptions as two columns."""
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"  {name:<{width}}  {text}" for name, text in rows) or "  none"


def layer_table(rows: Iterable[Layer]) -> str:
    """Format layers as a table with a header and two lines per layer: columns and summary."""
    rows = [Layer("", "year", "cost", "parallel", "source", ""), *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:4]
    lines = []
    for row in rows:
        columns = [f"{value:<{width}}" for value, width in zip(row, widths, strict=False)]
        lines += ["  ".join(["", *columns, row.source]), f"  {'':<{widths[0]}}  {row.summary}"]
    return "\n".join(line for line in lines if line.strip())


def architectures() -> list[tuple[str, str]]:
    """Return the models by name, with the first line of their docstrings."""
    return list(_exported("models"))


def layers() -> list[Layer]:
    """Return the recurrent layers, in the order of `rnn_lab.nn.LAYERS`."""
    file = PACKAGE / "nn" / "layers" / "registry.py"
    classes = {node.name: node for node in _imported_classes(file)}
    return [_layer(classes[name], classes) for name in _table_names(file, "LAYERS")]


def datasets() -> list[tuple[str, str]]:
    """Return the data modules by name, with the first line of their docstrings."""
    return list(_exported("datamodules"))


def configs() -> list[tuple[str, str]]:
    """Return the shipped configs with the first comment of each."""
    return [
        (name, path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# "))
        for name, path in shipped_configs().items()
    ]


def installed() -> list[tuple[str, str]]:
    """Return the installed plugins, with the first line of their modules' docstrings."""
    return [(plugin.name, _summary(plugin.module)) for plugin in plugins()]


def _summary(module: str) -> str:
    """Return the first line of a module's docstring, without importing it."""
    top, *below = module.split(".")
    spec = find_spec(top)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    folder = Path(folders[0], *below) if folders else Path()
    files = [folder / "__init__.py", folder.with_suffix(".py"), Path(str(spec and spec.origin))]
    file = next((path for path in files if path.is_file()), None)
    docstring = ast.get_docstring(_parse(file)) if file else None
    return f"{module}: {(docstring or 'no description').partition(chr(10))[0]}"


def _exported(module: str) -> Iterator[tuple[str, str]]:
    """Yield the classes that a public module exports for the command line."""
    for node in _imported_classes(PACKAGE / f"{module}.py"):
        if _is_module(node):
            yield node.name, (ast.get_docstring(node) or "").partition("\n")[0]


def _imported_classes(file: Path) -> Iterator[ast.ClassDef]:
    """Yield the definitions of the classes that a file imports by name from this package."""
    for statement in _parse(file).body:
        if not isinstance(statement, ast.ImportFrom):
            continue
        module = statement.module or ""
        if not module.startswith(f"{PACKAGE.name}."):
            continue
        path = PACKAGE.parent / Path(*module.split(".")).with_suffix(".py")
        classes = {n.name: n for n in _parse(path).body if isinstance(n, ast.ClassDef)}
        yield from (classes[alias.name] for alias in statement.names if alias.name in classes)


def _parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _is_module(node: ast.ClassDef) -> bool:
    """Return whether a class is a model or data module, and not the textbook's Dataset."""
    return not any(isinstance(base, ast.Subscript) for base in node.bases)


def _table_names(file: Path, table: str) -> list[str]:
    """Return the names of the classes in a dict comprehension assigned in a file."""
    for node in _parse(file).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == table:
            assert isinstance(node.value, ast.DictComp)
            classes = node.value.generators[0].iter
            return [name.id for name in ast.walk(classes) if isinstance(name, ast.Name)]
    raise LookupError(f"{file} has no {table}")


def _layer(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> Layer:
    """Describe a layer by the attributes and the docstring of its class."""
    attributes, docstring = _attributes(node, classes), ast.get_docstring(node) or ""
    match = SOURCE.search(docstring)
    assert match is not None, f"the docstring of {node.name} has no source"
    parallel, source = "yes" if attributes["parallel"] else "no", ", ".join(match.groups())
    summary = docstring.partition("\n")[0]
    return Layer(node.name, str(attributes["year"]), attributes["cost"], parallel, source, summary)


def _attributes(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> dict[str, Any]:
    """Return the constant attributes of a class and its bases."""
    attributes: dict[str, Any] = {}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes:
            attributes |= _attributes(classes[base.id], classes)
    for statement in node.body:
        pairs: Iterable[tuple[ast.expr, ast.expr | None]] = ()
        match statement:
            case ast.Assign([ast.Tuple(names)], ast.Tuple(values)):
                pairs = zip(names, values, strict=True)
            case ast.Assign([name], value) | ast.AnnAssign(name, _, value):
                pairs = [(name, value)]
        constants = ((name, value) for name, value in pairs if isinstance(value, ast.Constant))
        attributes |= {ast.unparse(name): value.value for name, value in constants}
    return attributes
