"""Entry point of `rnn-lab`: find the subcommand and import only what it needs."""

import ast
import difflib
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from io import UnsupportedOperation
from pathlib import Path

import rnn_lab
from rnn_lab.commands._help import ALL, greeting, short_help, usage
from rnn_lab.commands._loading import loading
from rnn_lab.commands._parsing import DEBUG, print_error
from rnn_lab.commands._training import process_rank
from rnn_lab.errors import ProcessError, UserError

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
        status = _run(arguments[:1], arguments[1:])
        sys.stdout.flush()  # else a full disk is noticed when it is too late to report it
        return status
    except UserError as error:
        return _fail(error, str(error))
    except KeyboardInterrupt as interrupt:
        if args is None:  # a second one would show a traceback while the program exits
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        resume = str(interrupt)  # the command that resumes a training, if a checkpoint was saved
        print_error(f"interrupted; resume with: {resume}" if resume else "interrupted")
        return 130
    except BrokenPipeError:  # the reader has closed the pipe, as `head` does
        _discard_output()
        return 0
    except OSError as error:  # a full or read-only disk, a missing permission
        if error.errno is None:
            raise
        if error.filename is None:
            _discard_output()
        return _fail(error, f"{error.filename or 'the output'}: {error.strerror}")


def _fail(error: Exception, message: str) -> int:
    """Print an error as one line and return its status; raise it again for debugging."""
    if os.environ.get(DEBUG):
        raise error
    others_report = process_rank("LOCAL_RANK", "SLURM_LOCALID") > 0  # all processes fail alike
    if isinstance(error, ProcessError):
        others_report = not error.reported_here
    if not others_report:
        print_error(" ".join(message.split()))
    return 1


def _discard_output() -> None:
    """Discard what is not yet written to standard output, which cannot be written."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except UnsupportedOperation:  # not a file, as in a notebook
        return


def commands() -> dict[str, str]:
    """Return the commands with the first line of their docstrings, without importing them."""
    files = (path for path in sorted(COMMANDS.glob("*.py")) if not path.stem.startswith("_"))
    return {path.stem: _first_line(path) for path in files}


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def _run(command: list[str], options: list[str]) -> int:
    if not command:
        print(greeting())
        return 0
    if command == ["help"] and options:
        command, options = options[:1], ["--help"]
    if command in (["-h"], ["--help"], ["help"]):
        print(usage(commands().items()))
        return 0
    if command == ["--version"]:
        print(f"rnn-lab {rnn_lab.__version__}")
        return 0
    (name,) = command
    if name.isalpha() and (COMMANDS / f"{name}.py").exists():
        text = short_help(name, options)
        if text is not None:
            print(text)
            return 0
        options = ["--help" if option == ALL else option for option in options]
        with loading(f"loading {name}"):
            module = import_module(f"rnn_lab.commands.{name}")
        if "torch" in sys.modules:  # else the command computes nothing, or configures it itself
            rnn_lab.configure_cpu()
        return module.main(options) or 0
    names = commands()
    near = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(names)}"
    print_error(f"unknown command {name!r}: {hint}")
    return 2


if __name__ == "__main__":
    sys.exit(main())
