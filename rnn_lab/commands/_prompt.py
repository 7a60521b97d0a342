"""Lines typed at a prompt, with line editing and a history that outlasts the session."""

import sys
from collections.abc import Iterator
from pathlib import Path

from platformdirs import user_state_path

try:
    import readline
except ImportError:  # lines are then read without editing
    readline = None  # type: ignore[assignment]  # a module where it exists

MAX_HISTORY = 1000  # lines
PROMPT = "> "


def read_lines(hint: str, history: str) -> Iterator[str]:
    """Yield the lines of standard input until its end.

    On a terminal there is a prompt. Ctrl-C discards the line, Ctrl-D ends the input, blank lines
    are skipped, and earlier lines can be recalled if standard output is a terminal, too.

    Args:
        hint: What to type, shown once.
        history: Name of the file with earlier lines in the user's state folder.
    """
    if not sys.stdin.isatty():
        while line := sys.stdin.readline():
            yield line.rstrip("\n")
        return
    if readline is not None and sys.stdout.isatty():
        path = user_state_path("rnn_lab") / history
        problem = _load(path)
        _tell(f"{hint}; Ctrl-D ends. " + _where(path, problem))
        try:
            yield from _typed_lines()
        finally:
            if problem is None and (problem := _save(path)):
                _tell(_where(path, problem))
    else:
        _tell(f"{hint}; Ctrl-D ends.")
        yield from _typed_lines()


def _typed_lines() -> Iterator[str]:
    while True:
        try:
            line = _ask()
        except KeyboardInterrupt:
            _tell("")
        except EOFError:
            _tell("")
            return
        else:
            if line.strip():
                yield line


def _ask() -> str:
    """Read one line; `input` edits it only if standard output, where it echoes, is a terminal."""
    if sys.stdout.isatty():
        return input(PROMPT)
    sys.stderr.write(PROMPT)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def _load(path: Path) -> str | None:
    """Load the history, and return why later lines cannot be saved; None if they can."""
    readline.clear_history()
    readline.set_history_length(MAX_HISTORY)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8"):  # create the file, or notice that it is read-only
            pass
        readline.read_history_file(path)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _save(path: Path) -> str | None:
    """Save the history, and return why it cannot be saved; None if it was."""
    try:
        readline.write_history_file(path)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _where(path: Path, problem: str | None) -> str:
    if problem is None:
        return f"Lines are kept in {path}."
    return f"Lines are not kept in {path}: {problem}."


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
