"""Classes, their arguments and docstrings, read from source files without importing them."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent.parent
FACES = {"model": "models", "data": "datamodules"}  # modules that export the public classes
SECTION = re.compile(r"^ *(?:Args|Attributes):\n((?:(?: {2,}.*)?\n)+)", re.MULTILINE)
ENTRY = re.compile(r"^([-\w.]+)(?: \(.*?\))?: (.*)", re.DOTALL)
REFERENCE = re.compile(r"See `(\w+)`[.,]")

Parameter = tuple[str, ast.expr | None, ast.expr | None]  # name, annotation, default


@dataclass(frozen=True)
class Argument:
    """An argument of a constructor, or a field of a group of options.

    Attributes:
        type: Its annotation as written.
        default: Its default as written; None if it is required.
        text: Its description in the docstring.
        group: The dataclass that it takes; None if it takes a plain value.
    """

    type: str
    default: str | None
    text: str
    group: "SourceClass | None"


class SourceClass:
    """A class in a source file.

    Args:
        node: Its definition.
        file: The file.
    """

    def __init__(self, node: ast.ClassDef, file: Path) -> None:
        self.node, self.file, self.name = node, file, node.name

    @property
    def docstring(self) -> str:
        """The docstring, also if it is assigned after the class, as in `torch.optim`."""
        for statement in parse(self.file).body:
            match statement:
                case ast.Assign([ast.Attribute(ast.Name(self.name), "__doc__")], value):
                    return inspect.cleandoc("".join(_strings(value)))
        return ast.get_docstring(self.node) or self._constructor_docstring

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.docstring.strip().partition("\n")[0]

    @property
    def bases(self) -> list["SourceClass"]:
        """The base classes whose source files can be found."""
        found = (resolve(ast.unparse(base), self.file) for base in self.node.bases)
        return [base for base in found if base is not None]

    @property
    def lineage(self) -> Iterator["SourceClass"]:
        """The class and, after it, its bases."""
        yield self
        for base in self.bases:
            yield from base.lineage

    @property
    def is_dataclass(self) -> bool:
        """Whether the class is a dataclass, that is, a group of options."""
        return any("dataclass" in ast.unparse(each) for each in self.node.decorator_list)

    def constants(self) -> dict[str, Any]:
        """Return the class attributes with constant values, those of the bases included."""
        values: dict[str, Any] = {}
        for cls in reversed(list(self.lineage)):
            for name, value in _assigned(cls.node.body):
                try:
                    values[name] = ast.literal_eval(value)
                except ValueError:  # not a constant
                    values.pop(name, None)
        return values

    def arguments(self) -> dict[str, Argument]:
        """Return the arguments of the constructor by name, or the fields of a dataclass."""
        if self.is_dataclass:
            fields = [each for cls in reversed(list(self.lineage)) for each in cls._fields()]
            return {each[0]: self._argument(each, self.file) for each in fields}
        for cls in self.lineage:
            if cls._constructor is not None:
                parameters = _parameters(cls._constructor.args)
                return {each[0]: self._argument(each, cls.file) for each in parameters}
        return {}

    def argument_names(self) -> list[str]:
        """Return the names of the arguments of the constructor."""
        found = (cls._constructor for cls in self.lineage)
        constructor = next((each for each in found if each is not None), None)
        return [] if constructor is None else [each[0] for each in _parameters(constructor.args)]

    def description(self, name: str) -> str:
        """Return the description of an argument, empty if no docstring has one."""
        for cls in self.lineage:
            text = cls._documented().get(name, "")
            reference = REFERENCE.match(text)
            if reference:
                bases = (base for base in self.lineage if base.name == reference[1])
                other = next(bases, None) or resolve(reference[1], cls.file)
                return (other.description(name) if other else "") or text
            if text:
                return text
        return ""

    @property
    def _constructor_docstring(self) -> str:
        return (self._constructor and ast.get_docstring(self._constructor)) or ""

    @property
    def _constructor(self) -> ast.FunctionDef | None:
        methods = (node for node in self.node.body if isinstance(node, ast.FunctionDef))
        return next((node for node in methods if node.name == "__init__"), None)

    def _documented(self) -> dict[str, str]:
        return entries(f"{self.docstring}\n{self._constructor_docstring}")

    def _fields(self) -> Iterator[Parameter]:
        for node in self.node.body:
            if isinstance(node, ast.AnnAssign) and "ClassVar" not in ast.unparse(node.annotation):
                yield ast.unparse(node.target), node.annotation, node.value

    def _argument(self, parameter: Parameter, file: Path) -> Argument:
        name, annotation, default = parameter
        type = "" if annotation is None else ast.unparse(annotation)
        candidates = (resolve(each, file) for each in re.findall(r"\b[A-Z]\w+", type))
        group = next((cls for cls in candidates if cls and cls.is_dataclass), None)
        written = None if default is None else ast.unparse(default)
        return Argument(type, written, self.description(name), group)


def public_class(kind: str, name: str) -> SourceClass | None:
    """Return the class of a short name; None if there is none.

    Args:
        kind: `model` or `data`.
        name: Name of the class.
    """
    return resolve(name, PACKAGE / f"{FACES[kind]}.py")


def public_names(kind: str) -> list[str]:
    """Return the short names of models or of data.

    Args:
        kind: `model` or `data`.
    """
    body = parse(PACKAGE / f"{FACES[kind]}.py").body
    aliases = (node.names for node in body if isinstance(node, ast.ImportFrom))
    return [alias.asname or alias.name for names in aliases for alias in names]


def find_class(path: str) -> SourceClass | None:
    """Return the class of a class path; None if its source file is not found."""
    module, _, name = path.rpartition(".")
    file = module_file(module)
    return resolve(name, file) if file else None


@cache
def resolve(name: str, file: Path) -> SourceClass | None:
    """Return the class that a name means in a source file, which may import it."""
    for node in parse(file).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return SourceClass(node, file)
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    source = module_file(node.module or "") if not node.level else None
                    return resolve(alias.name, source) if source else None
    return None


@cache
def module_file(module: str) -> Path | None:
    """Return the source file of a module; None if it has none, or none is found."""
    top, *below = module.split(".")
    spec = find_spec(top) if top else None
    if spec is None or spec.origin is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    path = Path(folders[0], *below) if folders else Path(spec.origin)
    files = (path / "__init__.py", path.with_suffix(".py"))
    return next((each for each in files if each.is_file()), None)


@cache
def parse(file: Path) -> ast.Module:
    """Parse a source file."""
    return ast.parse(file.read_text(encoding="utf-8"))


def imported_classes(file: Path) -> Iterator[SourceClass]:
    """Yield the classes of this package that a module imports, in the order of its imports."""
    for statement in parse(file).body:
        match statement:
            case ast.ImportFrom(module, aliases) if str(module).startswith(f"{PACKAGE.name}."):
                found = (resolve(alias.name, file) for alias in aliases)
                yield from (cls for cls in found if cls is not None)


def docstring_of(file: Path) -> str:
    """Return the docstring of a module."""
    return ast.get_docstring(parse(file)) or ""


def section(docstring: str, title: str) -> list[str]:
    """Return the lines of a section of a docstring, without their indentation.

    Args:
        docstring: The docstring.
        title: Title of the section, such as `Examples`.
    """
    body = re.search(rf"^{title}:\n((?: +.*\n?)+)", docstring, re.MULTILINE)
    return textwrap.dedent(body[1]).splitlines() if body else []


def entries(docstring: str) -> dict[str, str]:
    """Return the entries in the sections of a docstring that describe arguments.

    An entry is `name: description`, or `name (type): description`, and may go over several lines.
    """
    found: dict[str, str] = {}
    for body in SECTION.findall(docstring + "\n"):
        found = {**section_entries(body), **found}
    return found


def section_entries(body: str) -> dict[str, str]:
    """Return the entries of one section, `name: description`, which may go over several lines."""
    lines = [line for line in body.splitlines() if line.strip()]
    indent = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    text = "\n".join(line[indent:] for line in lines)
    blocks = (ENTRY.match(block) for block in re.split(r"\n(?! )", text))
    return {m[1]: " ".join(m[2].split()) for m in blocks if m}


def first_sentence(text: str) -> str:
    """Return the first sentence of a description.

    Example:
        >>> first_sentence("Units of ``x``. More are slower.")
        'Units of `x`.'
    """
    plain = re.sub(r":\w+:`", "`", text.replace("``", "`"))
    return re.split(r"(?<=[.!?])\s+(?=[A-Z`])", plain, maxsplit=1)[0]


def _strings(node: ast.expr) -> Iterator[str]:
    """Yield the literal strings in an expression, in their order."""
    if isinstance(node, ast.Constant):
        yield str(node.value)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr) and not isinstance(node, ast.FormattedValue):
            yield from _strings(child)


def _parameters(args: ast.arguments) -> Iterator[Parameter]:
    """Yield the name, annotation and default of each argument but `self`."""
    positional = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    pairs = [*zip(positional, defaults, strict=True)][1:]
    pairs += zip(args.kwonlyargs, args.kw_defaults, strict=True)
    for argument, default in pairs:
        yield argument.arg, argument.annotation, default


def _assigned(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that a class body assigns, with the expressions."""
    for statement in body:
        match statement:
            case ast.Assign([ast.Tuple(names)], ast.Tuple(values)):
                yield from zip(map(ast.unparse, names), values, strict=True)
            case ast.Assign([name], value) | ast.AnnAssign(name, _, ast.expr() as value):
                yield ast.unparse(name), value
