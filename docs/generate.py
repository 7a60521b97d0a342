"""Write the pages of the reference that follow from the package.

`make docs` calls this before each build: lists of models, data modules and layers from the public
names, cards of datasets, options from `--help`, configs from their files, the map from the
docstrings of modules.
"""

import ast
import contextlib
import io
import os
import shutil
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

import dataset_cards  # lies beside this file

import rnn_lab
import rnn_lab.nn
from rnn_lab.__main__ import main
from rnn_lab.commands._configs import shipped_configs

REPOSITORY = Path(__file__).parent.parent
PACKAGE = REPOSITORY / "rnn_lab"
TITLES = {
    "text_classification": "Text classification",
    "sequence_classification": "Sequence classification",
    "translation": "Translation",
    "forecasting": "Forecasting",
    "language_modeling": "Language modeling",
    "regression": "Regression: the adding problem",
    "tagging": "Tagging: the copy-memory task",
    "trainer": "Profiles of the Trainer",
    "logger": "Loggers",
}


def write_pages(folder: Path) -> None:
    """Write all generated pages into a folder; unchanged files keep their time."""
    folder.mkdir(exist_ok=True)
    pages = {
        "models": public_classes("models"),
        "datamodules": public_classes("datamodules"),
        "datasets": dataset_cards.cards(TITLES),
        "layers": layers(),
        "commands": commands(),
        "configs": configs(),
        "map": package_map(),
    }
    for name, lines in pages.items():
        path, text = folder / f"{name}.md", "\n".join(lines) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def copy_notebooks(folder: Path) -> None:
    """Copy the notebooks below the site, since Sphinx reads sources from one folder only."""
    folder.mkdir(exist_ok=True)
    for path in sorted((REPOSITORY / "notebooks").glob("*.ipynb")):
        shutil.copy2(path, folder / path.name)


def public_classes(module: str) -> Iterator[str]:
    """Yield the documentation of the public classes of a module, grouped by task."""
    names = import_module(f"rnn_lab.{module}").__all__
    classes = {name: getattr(rnn_lab, name) for name in names}
    for task, title in TITLES.items():
        below = [n for n, c in classes.items() if c.__module__.split(".")[2] == task]
        if below:
            yield from (f"## {title}", "")
            bases = _abstract_bases(classes[name] for name in below)
            yield from _autoclasses([f"rnn_lab.{name}" for name in below], "show-inheritance")
            yield from _autoclasses(bases, "members", "show-inheritance")


def layers() -> Iterator[str]:
    """Yield the documentation of the recurrent layers, in the order of the registry."""
    yield from _autoclasses([f"rnn_lab.nn.{name}" for name in rnn_lab.nn.LAYERS])


def commands() -> Iterator[str]:
    """Yield the `--help` of each command."""
    for path in sorted((PACKAGE / "commands").glob("[a-z]*.py")):
        summary = (ast.get_docstring(_parse(path)) or "").partition("\n")[0]
        yield from (f"### rnn-lab {path.stem}", "", summary, "")
        yield from _listing("text", text := _help(path.stem, "--help"))
        if "--help=all" in text:
            yield from (f":::{{dropdown}} All options of {path.stem}", "")
            yield from _listing("text", _help(path.stem, "--help=all"))
            yield from (":::", "")


def configs() -> Iterator[str]:
    """Yield the shipped configs, with their comments, grouped by folder."""
    for folder, title in TITLES.items():
        yield from (f"## {title}", "")
        for name, path in shipped_configs().items():
            if path.parent.name == folder:
                yield from (f"### {name}", "", f"`-c {name}`", "")
                yield from _listing("yaml", path.read_text(encoding="utf-8"))


def package_map() -> Iterator[str]:
    """Yield the modules of the package by folder, with the first lines of their docstrings."""
    for folder in [PACKAGE, *sorted(path.parent for path in PACKAGE.rglob("*/__init__.py"))]:
        yield from (f"## {folder.relative_to(REPOSITORY)}", "", _summary(folder / "__init__.py"))
        files = [path for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]
        if files:
            yield from ("", "| File | Content |", "| --- | --- |")
            yield from (f"| `{path.name}` | {_summary(path)} |" for path in files)
        yield ""


def _abstract_bases(classes: Iterable[type]) -> list[str]:
    """Return the paths of the bases from which public classes take their options."""
    bases = {base for cls in classes for base in cls.__mro__[1:] if _is_task_base(base)}
    return sorted(f"{base.__module__}.{base.__qualname__}" for base in bases)


def _is_task_base(cls: type) -> bool:
    return cls.__module__.startswith("rnn_lab.tasks.") and not hasattr(rnn_lab, cls.__name__)


def _autoclasses(names: Iterable[str], *options: str) -> Iterator[str]:
    yield "```{eval-rst}"
    for name in names:
        yield from (f".. autoclass:: {name}", *(f"   :{option}:" for option in options), "")
    yield from ("```", "")


def _listing(kind: str, text: str) -> Iterator[str]:
    yield from (f"```{kind}", *text.rstrip().splitlines(), "```", "")


def _help(command: str, option: str) -> str:
    """Return what a command prints with `--help` or `--help=all`, in 100 columns."""
    os.environ["COLUMNS"], output = "100", io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        main([command, option])
    return output.getvalue()


def _summary(path: Path) -> str:
    docstring = ast.get_docstring(_parse(path)) or ""
    return docstring.split("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
