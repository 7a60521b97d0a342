"""The options of commands, read from the calls of `add_argument` in their source files."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rnn_lab.commands._sources import docstring_of, module_file, parse

Names = Mapping[str, ast.expr]  # of arguments, loop variables and constants of a module


class Option(NamedTuple):
    """An option of a command line.

    Attributes:
        names: Its spellings; a positional argument has one without dashes.
        type: Type of its value as written, empty for a flag without a value.
        text: Its description.
        default: Its default as written; None if it has none.
        required: Whether it must be given.
    """

    names: tuple[str, ...]
    type: str = "str"
    text: str = ""
    default: str | None = None
    required: bool = False

    @property
    def is_positional(self) -> bool:
        """Whether it is an argument without a name."""
        return not self.names[0].startswith("-")


def declared_options(file: Path) -> list[Option]:
    """Return the options that the parser of a command declares.

    Their names and texts must be literal, up to loops over the items of a literal mapping.

    Args:
        file: Source file of the command, where `_parser` or `main` builds the parser.
    """
    functions = _functions(file)
    return list(_Reader(file, constants(file)).options(functions.get("_parser", functions["main"])))


def options_added_by(file: Path, function: str) -> list[Option]:
    """Return the options that a function of a source file adds to a parser."""
    return list(_Reader(file, constants(file)).options(_functions(file)[function]))


def description(file: Path) -> str:
    """Return the description of the parser of a command, or the first line of its docstring."""
    keywords = (node for node in ast.walk(parse(file)) if isinstance(node, ast.keyword))
    for keyword in keywords:
        if keyword.arg == "description" and isinstance(keyword.value, ast.Constant):
            return str(keyword.value.value)
    return docstring_of(file).partition("\n")[0]


class _Reader:
    """Reads options in functions of one source file.

    Args:
        file: The file.
        names: Expressions that names stand for.
    """

    def __init__(self, file: Path, names: Names) -> None:
        self.file, self.names = file, names

    def options(self, function: ast.FunctionDef) -> Iterator[Option]:
        """Yield the options that a function declares, in order."""
        yield from self._of_statements(function.body)

    def _of_statements(self, body: Sequence[ast.stmt]) -> Iterator[Option]:
        for statement in body:
            match statement:
                case ast.For(target, ast.Call(ast.Attribute(table, "items")), loop):
                    for pair in self._items(table):
                        bound = {**self.names, **_bind(target, pair)}
                        yield from _Reader(self.file, bound)._of_statements(loop)
                case ast.Expr(ast.Call() as call):
                    yield from self._of_call(call)

    def _of_call(self, call: ast.Call) -> Iterator[Option]:
        match call.func:
            case ast.Attribute(_, "add_argument") | ast.Name("add"):
                yield self._option(call)
            case ast.Name(name):
                file, functions = _source_of(name, self.file)
                if name in functions:
                    yield from _Reader(file, constants(file)).options(functions[name])

    def _option(self, call: ast.Call) -> Option:
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        default = self._value(given.get("default"))
        is_flag = "action" in given and self._text(given["action"]) == "store_true"
        kind = self._value(given.get("type"))
        return Option(
            tuple(self._text(argument) for argument in call.args),
            "" if is_flag else "str" if kind is None else ast.unparse(kind),
            self._text(given["help"]),
            ast.unparse(default) if isinstance(default, ast.Constant) else None,
            "required" in given,
        )

    def _items(self, table: ast.expr) -> list[ast.Tuple]:
        literal = self._value(table)
        assert isinstance(literal, ast.Dict), f"{self.file}: options are not in a literal mapping"
        pairs = zip(literal.keys, literal.values, strict=True)
        return [ast.Tuple([key, value]) for key, value in pairs if key is not None]

    def _value(self, node: ast.expr | None) -> ast.expr | None:
        """Return the expression that a name stands for, also within `int | None`."""
        match node:
            case ast.Name(name) if name in self.names:
                return self.names[name]
            case ast.BinOp(left, ast.BitOr(), right):
                return ast.BinOp(self._value(left) or left, ast.BitOr(), right)
        return node

    def _text(self, node: ast.expr | None) -> str:
        match self._value(node):
            case ast.Constant(value):
                return str(value)
            case ast.JoinedStr(values):
                return "".join(map(self._text, values))
            case ast.FormattedValue(value):
                return self._text(value)
            case ast.Call(ast.Attribute(separator, "join"), [names]):
                return self._text(separator).join(map(self._text, self._elements(names)))
            case other:
                written = "nothing" if other is None else ast.unparse(other)
                raise ValueError(f"{self.file}: {written} is not a literal string")

    def _elements(self, node: ast.expr) -> list[ast.expr]:
        literal = self._value(node)
        return literal.elts if isinstance(literal, ast.Tuple | ast.List) else []


def _bind(target: ast.expr, value: ast.expr) -> dict[str, ast.expr]:
    """Bind the names of a loop target to parts of an expression."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        pairs = zip(target.elts, value.elts, strict=True)
        return {name: part for pair in pairs for name, part in _bind(*pair).items()}
    return {ast.unparse(target): value}


def _functions(file: Path) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in parse(file).body if isinstance(node, ast.FunctionDef)}


def constants(file: Path) -> dict[str, ast.expr]:
    """Return the expressions that a module assigns to names, and those that it imports."""
    values: dict[str, ast.expr] = {}
    for node in parse(file).body:
        match node:
            case ast.ImportFrom(module, aliases) if str(module).startswith("rnn_lab.commands."):
                source = module_file(str(module))
                known = constants(source) if source else {}
                if known.keys() & {alias.name for alias in aliases}:
                    values = {**known, **values}  # whose expressions use names of its own
            case ast.Assign([ast.Name(name)], value) | ast.AnnAssign(
                ast.Name(name), _, ast.expr() as value
            ):
                values[name] = value
    return values


def _source_of(name: str, file: Path) -> tuple[Path, dict[str, Any]]:
    """Return the file that defines a function, and all functions of that file."""
    for node in parse(file).body:
        match node:
            case ast.ImportFrom(module, aliases) if name in {alias.name for alias in aliases}:
                source = module_file(str(module))
                if source is not None:
                    return source, _functions(source)
    return file, _functions(file)
