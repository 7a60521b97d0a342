"""The package stays small in its parts: leaves, constructors, forwarded arguments, files, tests.

python tests/test_shape.py     prints the figures
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "rnn_lab"
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
TASK_ARGUMENTS = {"optimizer", "scheduler"}  # of every model, so they do not count
MAX_LEAF_LINES, MAX_ARGUMENTS, MAX_FORWARDED, MAX_FILE_LINES = 15, 12, 8, 400
OWN_CODE = {  # public models with code of their own beside class attributes, and why
    "BagOfNgramsClassifier": "a linear model without a recurrent layer",
    "DLinearForecaster": "a linear model without a recurrent layer",
    "SeasonalNaiveForecaster": "a baseline with one argument of its own",
    "SentimentLSTM": "the textbook's signature and single output",
    "TransformerClassifier": "self-attention in place of a recurrent layer",
    "TransformerForecaster": "self-attention in place of a recurrent layer",
    "TransformerTranslator": "self-attention in place of a recurrent layer",
}
WITHOUT_TESTS = {  # source files without a test file of their name, and why
    "__main__": "tests/commands/test_cli.py runs it",
    "datamodules": "imports alone: tests/test_imports.py",
    "errors": "one exception class",
    "special_tokens": "constants",
    # The laws of every cell and layer, and references by the papers' equations, hold these.
    "nn/layers/gru": "tests/nn/layers/test_cell.py, test_fused.py",
    "nn/layers/lstm": "tests/nn/layers/test_cell.py, test_fused.py",
    "nn/layers/layer_norm_gru": "tests/nn/layers/test_cell.py, test_unrolled.py",
    "nn/layers/layer_norm_lstm": "tests/nn/layers/test_cell.py, test_unrolled.py",
    "nn/layers/peephole_lstm": "tests/nn/layers/test_cell.py, test_unrolled.py",
    "nn/layers/min_gru": "tests/nn/layers/test_scan_layer.py",
}


def code_lines(path: Path, start: int = 1, end: int = 1 << 30) -> int:
    """Count the lines that are neither blank, nor comment, nor docstring."""
    lines: set[int] = set()
    with path.open(encoding="utf-8") as file:
        for token in tokenize.generate_tokens(io.StringIO(file.read()).readline):
            blank = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT)
            if token.type not in (*blank, tokenize.DEDENT, tokenize.ENDMARKER):
                lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(TREES[path]):
        owner = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if owner and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            lines -= set(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
    return sum(start <= line <= end for line in lines)


def constructors() -> Iterator[tuple[str, list[str]]]:
    """Every constructor, with the names of its arguments."""
    for path, tree in TREES.items():
        for cls in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
            for method in cls.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    parts = method.args
                    every = [*parts.posonlyargs, *parts.args, *parts.kwonlyargs]
                    name = f"{path.relative_to(PACKAGE)}:{cls.name}"
                    yield name, [argument.arg for argument in every[1:]]


def leaf_lines() -> dict[str, int]:
    """Code lines of each public model that takes no `layer` as an argument."""
    face = TREES[PACKAGE / "models.py"]
    imports = (node for node in face.body if isinstance(node, ast.ImportFrom))
    names = {alias.name for node in imports for alias in node.names}
    configurable = {name.rpartition(":")[2] for name, args in constructors() if "layer" in args}
    return {
        node.name: code_lines(path, node.lineno, node.end_lineno or 0)
        for path, tree in TREES.items()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name in names - configurable
    }


def forwarded() -> int:
    """Count arguments that a constructor passes on unchanged to that of its base."""
    calls = (
        node
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "__init__"
        and isinstance(node.func.value, ast.Call)
    )
    return sum(
        sum(isinstance(argument, ast.Name) for argument in call.args)
        + sum(isinstance(k.value, ast.Name) and k.value.id == k.arg for k in call.keywords)
        for call in calls
    )


def forwarded_per_thousand_lines() -> float:
    return 1000 * forwarded() / sum(map(code_lines, FILES))


def without_tests() -> list[str]:
    """Source files that have no test file at the mirrored place."""
    names = []
    for path in (path for path in FILES if path.stem != "__init__"):
        below = path.relative_to(PACKAGE)
        if not (TESTS / below.parent / f"test_{path.stem.lstrip('_')}.py").exists():
            names.append(below.with_suffix("").as_posix())
    return names


def test_named_models_are_class_attributes():
    large = {name for name, lines in leaf_lines().items() if lines > MAX_LEAF_LINES}
    assert large == OWN_CODE.keys()


def test_constructors_take_at_most_a_dozen_options():
    counts = {name: len(set(args) - TASK_ARGUMENTS) for name, args in constructors()}
    assert {name: n for name, n in counts.items() if n > MAX_ARGUMENTS} == {}


def test_constructors_repeat_few_arguments_of_their_bases():
    assert forwarded_per_thousand_lines() <= MAX_FORWARDED


def test_files_are_short():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert [path for path, length in lengths.items() if length > MAX_FILE_LINES] == []


def test_every_source_file_has_a_test_file_or_a_reason():
    assert without_tests() == sorted(WITHOUT_TESTS)


def test_exceptions_to_lint_and_types_state_their_reason():
    bare = [
        f"{path.relative_to(PACKAGE)}:{number}"
        for path in FILES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(r"# (type: ignore|noqa)\b[^#]*$", line)
    ]
    assert bare == []


if __name__ == "__main__":
    print(f"files: {len(FILES)}, code lines: {sum(map(code_lines, FILES))}")
    print(f"longest file: {max(len(p.read_text().splitlines()) for p in FILES)} lines")
    print(f"forwarded: {forwarded()}, per 1,000 lines: {forwarded_per_thousand_lines():.1f}")
    counts = {name: len(set(args) - TASK_ARGUMENTS) for name, args in constructors()}
    print("most arguments:", *sorted(counts.items(), key=lambda item: -item[1])[:8], sep="\n  ")
    print("named models:", *sorted(leaf_lines().items(), key=lambda item: -item[1]), sep="\n  ")
    print("without a test file:", *without_tests(), sep="\n  ")
