"""Entry point of `rnn-lab`: find the subcommand and import only what it needs."""

import ast
import difflib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import rnn_lab
from rnn_lab.commands._parsing import print_error
from rnn_lab.commands._training import process_rank
from rnn_lab.errors import UserError

COMMANDS = Path(__file__).parent / "commands"  # one file each; private modules start with _


def main(args: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Args:
        args: Command-line arguments after the program's name.

    Returns:
        The exit status: 0, 1 for invalid user input, 2 for an invalid command line, 130 when
        interrupted, 128 + signal number when preempted by another signal.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    try:
        return _run(arguments[:1], arguments[1:])
    except UserError as error:
        if os.environ.get("RNN_LAB_DEBUG"):
            raise
        if not process_rank("LOCAL_RANK", "SLURM_LOCALID"):  # all processes fail alike
            print_error(" ".join(str(error).split()))
        return 1
    except KeyboardInterrupt:
        print_error("interrupted")
        return 130
    except BrokenPipeError:  # the reader has closed the pipe, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def commands() -> dict[str, str]:
    """Return the commands with the first line of their docstrings, without importing them."""
    files = (path for path in sorted(COMMANDS.glob("*.py")) if not path.stem.startswith("_"))
    return {path.stem: _first_line(path) for path in files}


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def _run(command: list[str], options: list[str]) -> int:
    if command in ([], ["-h"], ["--help"], ["help"]):
        print(usage())
        return 0
    if command == ["--version"]:
        print(f"rnn-lab {rnn_lab.__version__}")
        return 0
    (name,) = command
    if name.isalpha() and (COMMANDS / f"{name}.py").exists():
        module = import_module(f"rnn_lab.commands.{name}")
        if "torch" in sys.modules:  # else the command computes nothing, or configures it itself
            rnn_lab.configure_cpu()
        return module.main(options) or 0
    names = commands()
    near = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(names)}"
    print_error(f"unknown command {name!r}: {hint}")
    return 2


def usage() -> str:
    """Return the text of `rnn-lab --help`."""
    from rnn_lab.commands.list import architectures, datasets, table

    parts = [
        "usage: rnn-lab COMMAND [OPTIONS]",
        "commands (options: `rnn-lab COMMAND --help`):\n" + table(commands().items()),
        "architectures, for --model:\n" + table(architectures()),
        "data modules, for --data:\n" + table(datasets()),
        "example: rnn-lab fit --model=LSTMClassifier --data=SyntheticReviews --test=true",
    ]
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
