"""`rnn-lab list`: what there is to train, read from the sources so that nothing is imported."""

import ast
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rnn_lab.errors import UserError

PACKAGE = Path(__file__).parent.parent
ABSTRACT = {
    "Task", "Scores", "LabDataModule", "PairDataModule", "TextDataModule", "ForecastDataModule",
}  # fmt: skip


def main(options: Sequence[str]) -> None:
    """Print architectures, datasets and the configs below the current folder, a line each."""
    if options and options[0] in ("-h", "--help"):
        print("usage: rnn-lab list\n\nShow architectures, datasets and configs, a line each.")
        return
    if options:
        raise UserError(f"list takes no options, got {' '.join(options)}")
    for title, rows in (
        ("architectures", architectures()),
        ("datasets", datasets()),
        ("configs", configs(Path("configs"))),
    ):
        sys.stdout.write(f"{title}:\n{table(rows)}\n\n")


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Lay out names and what they are in two columns."""
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"  {name:<{width}}  {line}" for name, line in rows) or "  none here"


def architectures() -> list[tuple[str, str]]:
    """The models by name, with the first line of their docstrings."""
    return list(_exported("models"))


def datasets() -> list[tuple[str, str]]:
    """The data modules by name, with the first line of their docstrings."""
    return list(_exported("data"))


def configs(folder: Path) -> list[tuple[str, str]]:
    """The configs of a folder, with their first comment."""
    found = []
    for path in sorted(folder.rglob("*.yaml")):
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        found.append((str(path), first.lstrip("# ")))
    return found


def _exported(package: str) -> Iterator[tuple[str, str]]:
    """Classes that a package exports and that can be named on the command line."""
    exports = ast.parse((PACKAGE / package / "__init__.py").read_text(encoding="utf-8"))
    for statement in exports.body:
        if not isinstance(statement, ast.ImportFrom) or statement.module is None:
            continue
        home = PACKAGE.parent / Path(*statement.module.split(".")).with_suffix(".py")
        classes = {
            node.name: node
            for node in ast.parse(home.read_text(encoding="utf-8")).body
            if isinstance(node, ast.ClassDef)
        }
        for alias in statement.names:
            node = classes.get(alias.name)
            if node is not None and node.name not in ABSTRACT and _is_module(node):
                yield node.name, (ast.get_docstring(node) or "").partition("\n")[0]


def _is_module(node: ast.ClassDef) -> bool:
    """Tell models and data modules from the textbook's Dataset."""
    return not any(isinstance(base, ast.Subscript) for base in node.bases)
