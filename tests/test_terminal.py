"""A recorded session shows what the terminal showed, at every moment."""

import re
from html import escape

import pytest
from pages import REPOSITORY, blocks
from terminal import COLUMNS, SECONDS, Screen, record, replayed, svg, versions

OUTPUT = "one\r\n\x1b[32mtwo\x1b[0m 1/2\r\x1b[2K\x1b[1A\x1b[2KONE\r\nthree 2/2\r\nétat ━"


def shown(screen):
    return ["".join(character for character, _ in row) for row in screen.rows]


def at(second, rows):
    """Return the texts on the screen after a number of seconds of the replay."""
    there = [v for v in rows if v.start <= second and (v.end is None or second < v.end)]
    assert len({v.row for v in there}) == len(there)
    ordered = sorted(there, key=lambda v: v.row)
    return ["".join(character for character, _ in v.cells) for v in ordered]


def test_lines_are_erased_and_written_anew():
    screen = Screen()
    screen.write(OUTPUT)
    assert shown(screen) == ["ONE", "three 2/2", "état ━"]


def test_a_carriage_return_overwrites_and_a_long_line_is_wrapped():
    screen = Screen(columns=4)
    screen.write("abc\rXY\r\n123456")
    assert shown(screen) == ["XYc", "1234", "56"]


@pytest.mark.parametrize("cut", range(len(OUTPUT)))
def test_output_may_arrive_in_pieces(cut):
    screen, whole = Screen(), Screen()
    whole.write(OUTPUT)
    screen.write(OUTPUT[:cut])
    screen.write(OUTPUT[cut:])
    assert screen.rows == whole.rows


@pytest.mark.parametrize("unknown", ["\x1b[3K", "\x1b[5C", "\x1b]0;title\x07"])
def test_an_unknown_control_sequence_is_refused(unknown):
    with pytest.raises(ValueError, match="unknown control sequence"):
        Screen().write(f"text{unknown}")


def test_each_moment_of_the_replay_has_what_was_on_the_screen():
    frames = [(0.0, "start\r\n"), (30.0, "1/2"), (60.0, "\r\x1b[2K2/2"), (61.0, "\r\n\x1b[36mend")]
    shorter = replayed(frames)
    assert [text for _, text in shorter] == [text for _, text in frames]
    assert shorter[-1][0] <= SECONDS
    rows = versions(shorter)
    screen = Screen()
    for second, text in shorter:
        screen.write(text)
        assert at(second, rows) == [line for line in shown(screen) if line]
    picture = svg(rows)
    last = re.findall(r"<g><set .*?/>(.*)</g>", picture)
    assert [re.sub("<.*?>", "", row) for row in last] == ["start", "2/2", "end"]
    assert 'class="cyan"' in picture


def test_commands_are_recorded_on_a_terminal_until_one_fails():
    frames = record(["stty size; test -t 1 && echo '<&>'"])
    screen = Screen()
    screen.write("".join(text for _, text in frames))
    assert shown(screen)[1:3] == [f"200 {COLUMNS}", "<&>"]
    assert "&lt;&amp;&gt;" in svg(versions(frames))
    with pytest.raises(RuntimeError, match="exit 3 fails"):
        record(["exit 3"])


def test_the_picture_of_the_first_run_is_recorded_from_the_commands_of_its_page():
    (commands,) = (b.lines for b in blocks("docs/start/first-run.md") if "-c demo" in b.body)
    recipe = (REPOSITORY / "Makefile").read_text().partition("docs/images/first_run.svg")[2]
    places = [recipe.index(command) for command in commands]
    assert places == sorted(places)
    picture = (REPOSITORY / "docs/images/first_run.svg").read_text()
    assert all(f">{escape(command)}<" in picture.replace("> ", ">") for command in commands)
