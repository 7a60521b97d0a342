"""Show architectures, layers, datasets and configs.

The sources are parsed, so that nothing is imported.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from rnn_lab.errors import UserError
from rnn_lab.io.plugins import plugins

PACKAGE = Path(__file__).parent.parent
SOURCE = re.compile(r"Source: (.+?) \(\d{4}\),\s+(\S*\w)", re.DOTALL)
LEGEND = """
  Cost counts the multiply-adds of a step with D inputs and H units. Parallel layers can take all
  steps at once, their state being linear in the state before."""


class Layer(NamedTuple):
    """What is told of a recurrent layer.

    Attributes:
        name: Its name in `rnn_lab.nn.LAYERS`.
        year: When it was published.
        cost: Multiply-adds of a step.
        parallel: Whether all steps can be taken at once, yes or no.
        source: Where it was published: authors and address.
        line: What it is.
    """

    name: str
    year: str
    cost: str
    parallel: str
    source: str
    line: str


def main(options: Sequence[str]) -> None:
    """Print architectures, layers, datasets and the configs below the current folder."""
    if options and options[0] in ("-h", "--help"):
        print("usage: rnn-lab list\n\nShow architectures, recurrent layers, datasets and configs.")
        return
    if options:
        raise UserError(f"list takes no options, got {' '.join(options)}")
    for title, rows in (
        ("architectures", table(architectures())),
        ("layers", layer_table(layers()) + LEGEND),
        ("datasets", table(datasets())),
        ("configs", table(configs(Path("configs")))),
        ("plugins", table(installed())),
    ):
        sys.stdout.write(f"{title}:\n{rows}\n\n")


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Lay out names and what they are in two columns."""
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"  {name:<{width}}  {line}" for name, line in rows) or "  none here"


def layer_table(rows: Iterable[Layer]) -> str:
    """Lay out layers below a head, each in two lines: its columns, and what it is."""
    rows = [Layer("", "year", "cost", "parallel", "source", ""), *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:4]
    lines = []
    for row in rows:
        columns = [f"{value:<{width}}" for value, width in zip(row, widths, strict=False)]
        lines += ["  ".join(["", *columns, row.source]), f"  {'':<{widths[0]}}  {row.line}"]
    return "\n".join(line for line in lines if line.strip())


def architectures() -> list[tuple[str, str]]:
    """The models by name, with the first line of their docstrings."""
    return list(_exported("models"))


def layers() -> list[Layer]:
    """The recurrent layers, in the order of `rnn_lab.nn.LAYERS`."""
    file = PACKAGE / "nn" / "layers" / "registry.py"
    classes = {node.name: node for node in _imported(file)}
    return [_layer(classes[name], classes) for name in _names(file, "LAYERS")]


def datasets() -> list[tuple[str, str]]:
    """The data modules by name, with the first line of their docstrings."""
    return list(_exported("datamodules"))


def configs(folder: Path) -> list[tuple[str, str]]:
    """The configs of a folder, with their first comment."""
    found = []
    for path in sorted(folder.rglob("*.yaml")):
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        found.append((str(path), first.lstrip("# ")))
    return found


def installed() -> list[tuple[str, str]]:
    """The installed plugins, with the first line of their modules' docstrings."""
    return [(plugin.name, _summary(plugin.module)) for plugin in plugins()]


def _summary(module: str) -> str:
    """Read the first line of a module's docstring; nothing but its package is looked up."""
    top, *below = module.split(".")
    spec = find_spec(top)
    places = list(spec.submodule_search_locations or ()) if spec else []
    folder = Path(places[0], *below) if places else Path()
    files = [folder / "__init__.py", folder.with_suffix(".py"), Path(str(spec and spec.origin))]
    file = next((path for path in files if path.is_file()), None)
    docstring = ast.get_docstring(_parsed(file)) if file else None
    return f"{module}: {(docstring or 'no description').partition(chr(10))[0]}"


def _exported(face: str) -> Iterator[tuple[str, str]]:
    """Classes that a public face exports and that can be named on the command line."""
    for node in _imported(PACKAGE / f"{face}.py"):
        if _is_module(node):
            yield node.name, (ast.get_docstring(node) or "").partition("\n")[0]


def _imported(file: Path) -> Iterator[ast.ClassDef]:
    """Classes of ours that a file imports by name, as they are defined."""
    for statement in _parsed(file).body:
        if not isinstance(statement, ast.ImportFrom):
            continue
        module = statement.module or ""
        if not module.startswith(f"{PACKAGE.name}."):
            continue
        home = PACKAGE.parent / Path(*module.split(".")).with_suffix(".py")
        classes = {n.name: n for n in _parsed(home).body if isinstance(n, ast.ClassDef)}
        yield from (classes[alias.name] for alias in statement.names if alias.name in classes)


def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _is_module(node: ast.ClassDef) -> bool:
    """Tell models and data modules from the textbook's Dataset."""
    return not any(isinstance(base, ast.Subscript) for base in node.bases)


def _names(file: Path, table: str) -> list[str]:
    """The classes over which a file makes a table of names."""
    for node in _parsed(file).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == table:
            assert isinstance(node.value, ast.DictComp)
            listed = node.value.generators[0].iter
            return [name.id for name in ast.walk(listed) if isinstance(name, ast.Name)]
    raise LookupError(f"{file} has no {table}")


def _layer(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> Layer:
    """Read what a layer's class says of it, by its attributes and its docstring."""
    says, text = _attributes(node, classes), ast.get_docstring(node) or ""
    found = SOURCE.search(text)
    assert found is not None, f"{node.name} names no source"
    parallel, source = "yes" if says["parallel"] else "no", ", ".join(found.groups())
    line = text.partition("\n")[0]
    return Layer(node.name, str(says["year"]), says["cost"], parallel, source, line)


def _attributes(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> dict[str, Any]:
    """The constants among the attributes of a class and its bases."""
    found: dict[str, Any] = {}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes:
            found |= _attributes(classes[base.id], classes)
    for statement in node.body:
        pairs: Iterable[tuple[ast.expr, ast.expr | None]] = ()
        match statement:
            case ast.Assign([ast.Tuple(names)], ast.Tuple(values)):
                pairs = zip(names, values, strict=True)
            case ast.Assign([name], value) | ast.AnnAssign(name, _, value):
                pairs = [(name, value)]
        constants = ((name, value) for name, value in pairs if isinstance(value, ast.Constant))
        found |= {ast.unparse(name): value.value for name, value in constants}
    return found
