"""Short help of the commands, read from source files, so that it is shown without a delay.

`--help=all` shows the help of the parser itself, which has every option of the Trainer, too.
"""

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import rnn_lab
from rnn_lab.commands._declared_options import (
    Option,
    constants,
    declared_options,
    description,
    options_added_by,
)
from rnn_lab.commands._parsing import split_options
from rnn_lab.commands._sources import (
    FACES,
    PACKAGE,
    Argument,
    SourceClass,
    docstring_of,
    find_class,
    first_sentence,
    imported_classes,
    public_class,
    section,
)

HELP, ALL = ("-h", "--help"), "--help=all"
TRAINING = ("fit", "validate", "test")  # commands with the options of Lightning
COMMANDS = PACKAGE / "commands"
SECTIONS = {  # classes whose arguments are options of these commands, by their prefix
    "model": "rnn_lab.core.task.Task",
    "data": "rnn_lab.core.datamodule.LabDataModule",
    "trainer": "lightning.pytorch.trainer.trainer.Trainer",
    "checkpoint": "rnn_lab.training.BestCheckpoint",
    "early_stopping": "rnn_lab.training.ValidationEarlyStopping",
}
WIDTH, MAX_NAME = 98, 30  # of lines, and of names with a description beside them
METAVARS = {
    **{"str": "TEXT", "int": "INT", "float": "FLOAT", "bool": "BOOL", "list": "LIST"},
    **{"dict": "MAPPING", "OptimizerCallable": "NAME", "LRSchedulerCallable": "NAME"},
}
GREETING = {
    "rnn-lab fit -c demo --test": "train and test a first model, half a minute",
    "rnn-lab list": "models, data and configs by task, with a line each",
    "rnn-lab fit --help": "what training takes, with examples",
}

Row = tuple[str, str]  # name and description


def greeting() -> str:
    """Return what `rnn-lab` alone prints."""
    about = docstring_of(PACKAGE / "__init__.py").partition("\n")[0]
    return "\n\n".join(
        [
            f"rnn_lab {rnn_lab.__version__}: {about}",
            f"Three commands to try:\n{rows(GREETING.items())}",
            "`rnn-lab --help` shows all commands.",
        ]
    )


def usage(commands: Iterable[Row]) -> str:
    """Return the text of `rnn-lab --help`.

    Args:
        commands: Names and descriptions of the commands.
    """
    hints = {
        "rnn-lab COMMAND --help": "usage, examples and options of a command",
        "rnn-lab list": "models, data and configs by task",
        "rnn-lab list NAME": "options of a model or of data; a config with comments",
    }
    example = "rnn-lab fit --model=LSTMClassifier --data=SyntheticReviews --test=true"
    return "\n\n".join(
        [
            "usage: rnn-lab COMMAND [OPTIONS]",
            f"commands:\n{rows(commands)}",
            f"more:\n{rows(hints.items())}",
            f"example:\n  {example}",
        ]
    )


def short_help(command: str, options: Sequence[str]) -> str | None:
    """Return the help that a command line asks for.

    Args:
        command: Name of the command.
        options: Command-line arguments after it.

    Returns:
        The text; None if the command line asks for no help, or for that of the parser.
    """
    asked = named_classes(options, ".help") if command in TRAINING else []
    if ALL in options or not (asked or set(HELP) & set(options)):
        return None
    named = asked or (named_classes(options) if command in TRAINING else [])
    if not named:
        return command_help(command)
    more = f"Other options: `rnn-lab {command} --help`."
    return "\n\n".join([*(class_help(*each) for each in named), more])


def named_classes(options: Sequence[str], suffix: str = "") -> list[tuple[str, SourceClass]]:
    """Return the public classes that options name, with `model` or `data`.

    Args:
        options: Command-line arguments.
        suffix: End of the names of these options.
    """
    named = []
    for option in split_options(options):
        key, _, value = "=".join(option).partition("=")
        kind = key.removeprefix("--").removesuffix(suffix)
        if kind in FACES and key == f"--{kind}{suffix}":
            cls = public_class(kind, value.removeprefix("rnn_lab."))
            named += [(kind, cls)] if cls else []
    return named


def command_help(command: str) -> str:
    """Return the short help of a command: usage, examples and options."""
    file = COMMANDS / f"{command}.py"
    declared = chosen_options(file) if command in TRAINING else declared_options(file)
    required = [_written(option) for option in declared if option.required]
    positional = [f"[{each.names[0].upper()} ...]" for each in declared if each.is_positional]
    parts = [
        " ".join(["usage: rnn-lab", command, *positional, *required, "[OPTIONS]"]),
        textwrap.fill(description(file), WIDTH),
        "examples:\n" + "\n".join(f"  {line}" for line in examples(command)),
    ]
    if declared:
        parts.append("options:\n" + rows((_written(each), _described(each)) for each in declared))
    return "\n\n".join([*parts, *_closing(command)])


def examples(command: str) -> list[str]:
    """Return the command lines in the docstring of a command."""
    return [line.strip() for line in section(docstring_of(COMMANDS / f"{command}.py"), "Examples")]


def class_help(kind: str, cls: SourceClass) -> str:
    """Return the options of a model or of data.

    Args:
        kind: `model` or `data`.
        cls: The class.
    """
    linked = _linked(cls) if kind == "model" else {}
    arguments = cls.arguments()
    shown = {name: each for name, each in arguments.items() if name not in linked}
    source = re.search(r"Source: (?:.|\n(?!\n))+", cls.docstring)
    about = [f"{cls.name}: {cls.summary}", *([" ".join(source[0].split())] if source else [])]
    parts = ["\n".join(textwrap.fill(line, WIDTH) for line in about)]
    if shown:
        parts.append("options:\n" + rows(argument_rows(f"--{kind}", shown)))
    given = [name for name in arguments if name in linked]
    if given:
        parts.append(f"The data sets {', '.join(given)}.")
    return "\n\n".join(parts)


def argument_rows(prefix: str, arguments: dict[str, Argument]) -> Iterator[Row]:
    """Yield the options of arguments, and of the fields of groups, with their descriptions."""
    for name, argument in arguments.items():
        if argument.group is not None:
            yield from argument_rows(f"{prefix}.{name}", argument.group.arguments())
            continue
        text = first_sentence(argument.text)
        option = Option((f"{prefix}.{name}",), argument.type, text, argument.default)
        yield _written(option), _described(option)


def chosen_options(file: Path) -> list[Option]:
    """Return the options that the docstring of a command of the Trainer names.

    Their descriptions are there, or else in the source that declares them.
    """
    added = options_added_by(COMMANDS / "_run_options.py", "add_run_options")
    declared = {name: option for option in added for name in option.names}
    chosen = []
    for line in _entries(docstring_of(file)):
        words, _, text = line.partition(": ")
        name, _, metavar = words.partition(" ")
        if text:
            chosen.append(Option((name,), metavar, text))
        else:
            chosen.append(declared[name] if name in declared else _argument_option(name))
    return chosen


def rows(pairs: Iterable[Row]) -> str:
    """Format names and descriptions in two columns; very long names have a line of their own."""
    pairs = list(pairs)
    width = max((len(name) for name, _ in pairs if len(name) <= MAX_NAME), default=0)
    column = width + 4
    lines = []
    for name, text in pairs:
        wrapped = textwrap.wrap(text, WIDTH - column) or [""]
        if len(name) > width:
            lines.append(f"  {name}")
        else:
            wrapped[0] = f"  {name:<{width}}  {wrapped[0]}"
        start = 0 if len(name) > width else 1
        lines += wrapped[:start] + [" " * column + line for line in wrapped[start:]]
    return "\n".join(line.rstrip() for line in lines)


def _closing(command: str) -> Iterator[str]:
    if command in TRAINING:
        yield "more:\n" + rows(
            {
                "rnn-lab list": "models, data and configs by task",
                f"rnn-lab {command} --help=all": "all options, those of the Trainer included",
            }.items()
        )


def _entries(docstring: str) -> list[str]:
    """Return the entries in the section on options, each as one line."""
    lines = section(docstring, "Options")
    return [" ".join(each.split()) for each in re.split(r"\n(?! )", "\n".join(lines))]


def _argument_option(name: str) -> Option:
    """Return an option of a section, such as `--trainer.max_epochs`."""
    prefix, _, argument = name.removeprefix("--").partition(".")
    cls = find_class(SECTIONS[prefix])
    assert cls is not None
    described = cls.arguments()[argument]
    text = first_sentence(described.text).removesuffix(".")
    default = repr(_trainer_defaults()[argument]) if prefix == "trainer" else described.default
    return Option((name,), described.type, text[:1].lower() + text[1:], default)


def _trainer_defaults() -> dict[str, Any]:
    """Return the arguments of the Trainer that have another default than in Lightning."""
    return ast.literal_eval(constants(COMMANDS / "_run_options.py")["TRAINER_DEFAULTS"])


def _linked(cls: SourceClass) -> set[str]:
    """Return the arguments of a model that the data of its task sets."""
    data = imported_classes(PACKAGE / f"{FACES['data']}.py")
    own = (each for each in data if each.file.parent == cls.file.parent)
    return {name for each in own for name in each.constants().get("linked", ())}


def _written(option: Option) -> str:
    """Write an option with a placeholder for its value."""
    name, metavar = option.names[-1], _metavar(option.type)
    if option.is_positional:
        return name.upper()
    is_flag = "bool" in option.type and option.default in (None, "None", "False")
    return name if is_flag or not metavar else f"{name} {metavar}"


def _metavar(type: str) -> str:
    """Return the placeholder for a value of a type.

    Example:
        >>> [_metavar(type) for type in ("int | None", "Literal['a', 'b']", "list[str] | None")]
        ['INT', '{a,b}', 'LIST']
    """
    if type.isupper() or not type:
        return type
    choices = re.search(r"Literal\[(.*?)\]", type)
    if choices:
        return "{" + choices[1].replace("'", "").replace(" ", "") + "}"
    plain = re.sub(r"Optional\[|Union\[", "", type)
    return METAVARS.get(re.split(r"[ \[\],|]", plain)[0], "VALUE")


def _described(option: Option) -> str:
    """Describe an option, with its default if that is a value."""
    default = (option.default or "None").strip("'")
    plain = default not in ("None", "False", "") and re.fullmatch(r"[-+\w.]+", default)
    return f"{option.text} (default: {default})" if plain else option.text
