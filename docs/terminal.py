"""Record commands on a pseudo-terminal, and draw the session as an SVG that replays it once.

`python docs/terminal.py FILE COMMAND...` runs the commands in a shell, one after the other. The
picture has a light and a dark palette; viewers without animation show the last screen.
"""

import argparse
import codecs
import os
import pty
import re
import subprocess
import sys
import termios
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from html import escape
from itertools import accumulate, groupby, pairwise
from pathlib import Path
from typing import NamedTuple

COLUMNS, ROWS = 90, 200  # no screen scrolls
SECONDS, PAUSE, INTERVAL = 12.0, 1.0, 0.2  # of the replay, its longest pause and shortest frame
WIDTH, HEIGHT, MARGIN = 8.4, 19, 16  # of a character and of the frame, in pixels
PROMPT = "\x1b[1;35m$\x1b[0m "
CONTROL = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")
UNFINISHED = re.compile(r"(\x1b(\[[?\d;]*)?)?")
STYLES = {  # by code of Select Graphic Rendition: class, fill on light and on dark
    "32": ("green", "#1a7f37", "#57ab5a"),
    "36": ("cyan", "#1b7c83", "#39c5cf"),
    "1;35": ("prompt", "#8250df", "#b083f0"),
    "3": ("italic", "#57606a", "#adbac7"),
    "38;5;237": ("track", "#d0d7de", "#444c56"),
    "38;2;249;38;114": ("running", "#d6336c", "#f7619a"),
    "38;2;114;156;31": ("finished", "#5c8a00", "#8bbd28"),
}

Cell = tuple[str, str]  # a character and its code of style
Row = tuple[Cell, ...]
Frames = list[tuple[float, str]]  # seconds since the start, and what was written then


class Version(NamedTuple):
    """A row of the screen, and the seconds in which it is shown."""

    row: int
    cells: Row
    start: float
    end: float | None


class Screen:
    """What a terminal shows: the part of its language that our commands use."""

    def __init__(self, columns: int = COLUMNS) -> None:
        self.columns, self.style, self._unfinished = columns, "", ""
        self.rows: list[list[Cell]] = [[]]
        self.row = self.column = 0

    def write(self, text: str) -> None:
        """Show a text.

        Raises:
            ValueError: It has a control sequence that is not known.
        """
        end, text = 0, self._unfinished + text
        for match in CONTROL.finditer(text):
            if match.start() != end:
                break
            end = match.end()
            arguments, command, line_control, characters = match.groups()
            if characters:
                self._put(characters)
            elif line_control:
                self._move(line_control)
            else:
                self._obey(arguments, command)
        self._unfinished = text[end:]  # a control sequence that the next text may end
        if not UNFINISHED.fullmatch(self._unfinished):
            raise ValueError(f"unknown control sequence in {text[end : end + 12]!r}")

    def _put(self, characters: str) -> None:
        for character in characters:
            if self.column == self.columns:
                self._move("\r")
                self._move("\n")
            line = self.rows[self.row]
            line += [(" ", "")] * (self.column + 1 - len(line))
            line[self.column] = (character, self.style)
            self.column += 1

    def _move(self, control: str) -> None:
        if control == "\r":
            self.column = 0
            return
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append([])

    def _obey(self, arguments: str, command: str) -> None:
        if command == "m":
            self.style = arguments.removeprefix("0")
        elif command == "A":
            self.row = max(0, self.row - int(arguments or 1))
        elif (arguments, command) == ("2", "K"):
            self.rows[self.row].clear()
        elif command not in "hl":  # they show and hide the cursor
            raise ValueError(f"unknown control sequence: {arguments}{command}")


def record(commands: Iterable[str]) -> Frames:
    """Run commands on a terminal, and return what they write.

    Raises:
        RuntimeError: A command fails.
    """
    frames: Frames = []
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kind = {"PATH": path, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    start = time.monotonic()
    for command in commands:
        frames.append((time.monotonic() - start, f"{PROMPT}{command}\r\n"))
        terminal, side = pty.openpty()
        termios.tcsetwinsize(side, (ROWS, COLUMNS))
        streams = {"stdin": side, "stdout": side, "stderr": side}
        process = subprocess.Popen(["bash", "-c", command], env={**os.environ, **kind}, **streams)
        os.close(side)
        decoder = codecs.getincrementaldecoder("utf-8")()
        for chunk in _chunks(terminal):
            frames.append((time.monotonic() - start, decoder.decode(chunk)))
        os.close(terminal)
        if process.wait():
            raise RuntimeError(f"{command} fails: {''.join(text for _, text in frames)}")
    return frames


def _chunks(terminal: int) -> Iterator[bytes]:
    """Yield what is written until the other side is closed, which Linux reports as an error."""
    with suppress(OSError):
        while chunk := os.read(terminal, 65536):
            yield chunk


def replayed(frames: Frames) -> Frames:
    """Shorten long pauses, fit the time into that of the replay, and join frames of short ones."""
    waits = [min(PAUSE, b - a) for (a, _), (b, _) in pairwise([(0.0, ""), *frames])]
    scale = min(1.0, SECONDS / max(sum(waits), PAUSE))
    result: Frames = []
    for moment, (_, text) in zip(accumulate(waits), frames, strict=True):
        second = round(moment * scale, 2)
        if result and second - result[-1][0] < INTERVAL:
            second, before = result.pop()
            text = before + text
        result.append((second, text))
    return result


def versions(frames: Frames) -> list[Version]:
    """Return the contents of each row of the screen, in the order in which they are replaced."""
    screen, shown, result = Screen(), dict[int, tuple[float, Row]](), list[Version]()
    for second, text in frames:
        screen.write(text)
        for number, cells in enumerate(map(tuple, screen.rows)):
            start, before = shown.get(number, (second, ()))
            if cells != before:
                if before:
                    result.append(Version(number, before, start, second))
                shown[number] = (second, cells)
    return result + [Version(n, cells, start, None) for n, (start, cells) in shown.items() if cells]


def svg(rows: Iterable[Version]) -> str:
    """Draw the rows of a session."""
    rows = list(rows)
    width = round(COLUMNS * WIDTH + 2 * MARGIN)
    height = (1 + max(version.row for version in rows)) * HEIGHT + 2 * MARGIN
    dark = _css(2, "#161b22", "#d1d7e0", "#3d444d")
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
        f"<style>{_css(1, '#f6f8fa', '#1f2328', '#d0d7de')}",
        f"@media (prefers-color-scheme: dark) {{{dark}}}</style>",
        f'<rect x="1" y="1" width="{width - 2}" height="{height - 2}" rx="8"/>',
        *(_draw(version) for version in rows),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _css(palette: int, paper: str, ink: str, frame: str) -> str:
    font = "font: 14px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
    rules = [f"rect {{fill: {paper}; stroke: {frame}}}", f"text {{fill: {ink}; {font}}}"]
    rules += [f".{style[0]} {{fill: {style[palette]}}}" for style in STYLES.values()]
    return " ".join([*rules, ".italic {font-style: italic}"])


def _draw(version: Version) -> str:
    """Draw a row; viewers that do not animate show it if it is on the last screen."""
    y, column, texts = MARGIN + (version.row + 0.75) * HEIGHT, 0, []
    for code, cells in groupby(version.cells, key=lambda cell: cell[1]):
        run = "".join(character for character, _ in cells)
        if run.strip():
            name = f' class="{STYLES[code][0]}"' if code else ""
            x, length = MARGIN + column * WIDTH, len(run) * WIDTH
            place = f'x="{x:.1f}" y="{y:g}" textLength="{length:.1f}"'
            texts.append(f'<text{name} {place} xml:space="preserve">{escape(run)}</text>')
        column += len(run)
    if version.end is None:
        animation = f'<set attributeName="visibility" to="hidden" end="{version.start:g}s"/>'
        return f"<g>{animation}{''.join(texts)}</g>"
    moments = f'begin="{version.start:g}s" end="{version.end:g}s"'
    animation = f'<set attributeName="visibility" to="visible" {moments}/>'
    return f'<g visibility="hidden">{animation}{"".join(texts)}</g>'


def main() -> None:
    """Record the commands of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="the SVG file")
    parser.add_argument("commands", nargs="+", help="commands for a shell")
    options = parser.parse_args()
    frames = replayed(record(options.commands))
    options.file.write_text(svg(versions(frames)), encoding="utf-8")


if __name__ == "__main__":
    main()
