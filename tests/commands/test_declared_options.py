"""Options are read from calls of `add_argument`; what is not literal is refused."""

import pytest

from rnn_lab.commands._declared_options import Option, declared_options, description

SOURCE = '''
"""Do something.

More.
"""

WORDS = ("a", "b")
TEXT = f"one of {', '.join(WORDS)}"
TABLE = {"size": (int, "size of it"), "rate": (float, "rate of it")}

def main(options):
    parser = Parser(prog="x", description="Do it.")
    add = parser.add_argument
    add("files", nargs="*", help="files to read")
    add("--word", help=TEXT)
    parser.add_argument("--flag", action="store_true", help="a flag")
    parser.add_argument("--out", type=str, required=True, help="output")
    more(parser)
    parser.parse_args(options)

def more(parser):
    for name, (kind, text) in TABLE.items():
        parser.add_argument(f"--x.{name}", f"--{name}", type=kind | None, help=f"the {text}")
'''


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "command.py"
    path.write_text(SOURCE.strip())
    return path


def test_options_are_read_in_order_also_from_loops_and_functions(file):
    assert declared_options(file) == [
        Option(("files",), "str", "files to read"),
        Option(("--word",), "str", "one of a, b"),
        Option(("--flag",), "", "a flag"),
        Option(("--out",), "str", "output", required=True),
        Option(("--x.size", "--size"), "int | None", "the size of it"),
        Option(("--x.rate", "--rate"), "float | None", "the rate of it"),
    ]
    assert declared_options(file)[0].is_positional
    assert description(file) == "Do it."


def test_a_command_without_a_parser_is_described_by_its_docstring(tmp_path):
    path = tmp_path / "command.py"
    path.write_text('"""Do something.\n\nMore.\n"""\n\ndef main(options): ...\n')
    assert declared_options(path) == []
    assert description(path) == "Do something."


def test_what_is_not_literal_is_refused(tmp_path):
    path = tmp_path / "command.py"
    path.write_text("def main(o):\n    p.add_argument('--a', help=text())\n")
    with pytest.raises(ValueError, match=r"text\(\) is not a literal string"):
        declared_options(path)
