"""The shape of the house: imports point down, and what must be light is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "rnn_lab"
ALLOWED = {  # what the files of each part may import of ours, besides their own part
    "batches": set(),
    "errors": set(),
    "signals": set(),
    "class_paths": {"errors"},
    "checkpoint": {"class_paths", "errors"},
    "nn": set(),
    "data": {"batches", "checkpoint", "errors"},
    "metrics": set(),
    "models": {"nn", "batches", "metrics", "errors"},
    "training": {"batches", "checkpoint", "metrics", "errors", "signals"},
    "inference": {
        *("batches", "checkpoint", "class_paths", "data", "errors", "metrics", "models", "nn"),
    },
}
FILES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    """Parts of rnn_lab that a file imports, anywhere in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "rnn_lab":
            names += [f"rnn_lab.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return {name.split(".")[1] for name in names if name.startswith("rnn_lab.")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    part = part_of(path)
    if part in ALLOWED:
        assert imported_parts(path) <= ALLOWED[part] | {part}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nobody_imports_the_other_lightning(path):
    assert "pytorch_lightning" not in path.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_package_and_the_list_load_no_torch():
    code = """
import sys
import rnn_lab
from rnn_lab.__main__ import main
assert main(["list"]) == 0 and main(["--help"]) == 0
assert not {"torch", "lightning", "wandb", "jsonargparse"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_chapters_names_are_imported_from_the_package_itself():
    import rnn_lab
    from rnn_lab import data, models

    names = [*models.__all__, *data.__all__, "load"]
    assert {"LSTMClassifier", "SentimentDataset", "collate_variable_length"} <= set(names)
    for name in names:
        assert getattr(rnn_lab, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Absent'"):
        rnn_lab.Absent  # noqa: B018
