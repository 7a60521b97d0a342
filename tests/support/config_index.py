"""Write `configs/README.md`, the index of the shipped configs, from the comments they begin with.

python tests/support/config_index.py
"""

from pathlib import Path
from typing import NamedTuple

from rnn_lab.commands._sources import PACKAGE, docstring_of

CONFIGS = Path(__file__).parents[2] / "configs"
CLAIMS = "claims"  # the folder of claims, which are no configs of runs
PROFILES = {  # folders whose configs are added to one of a task
    "trainer": "Hardware and precision",
    "logger": "Loggers",
}
INTRODUCTION = """\
# Configs

`rnn-lab fit -c NAME --test=true` trains a model and tests it; `rnn-lab list NAME` explains the
lines of a config. Options on the command line override a config:
`rnn-lab fit -c lstm_classifier --model.hidden_dim=128`. Each config begins with what it is, what
was measured, and the commands for both. This index is made of these comments by
`python tests/support/config_index.py`. The datasets have cards in
[docs/reference/datasets.md](../docs/reference/datasets.md).
"""
ADDED = "These are added to another config: `rnn-lab fit -c demo -c bf16 -c csv`."


class Header(NamedTuple):
    """The comment at the beginning of a config.

    Attributes:
        what: What the config is.
        fields: Result, the command that measured it, and the command that runs the config.
    """

    what: str
    fields: dict[str, str]


def header(path: Path) -> Header:
    """Read the comment at the beginning of a config."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("# "):
            break
        lines.append(line.removeprefix("# "))
    pairs = (line.partition(": ") for line in lines[1:])
    return Header(lines[0], {name: text for name, _, text in pairs})


def index() -> str:
    """Return the text of the index."""
    folders = sorted({path.parent.name for path in CONFIGS.glob("*/*.yaml")} - {CLAIMS})
    tasks = [name for name in folders if name not in PROFILES]
    parts = [INTRODUCTION, *map(section, tasks), f"{ADDED}\n", *map(section, PROFILES)]
    return "\n".join([*parts, claims()])


def claims() -> str:
    """Return the section of the claims."""
    rows = [
        f"| [`{path.stem}`]({CLAIMS}/{path.name}) | {header(path).what} | "
        f"`{header(path).fields['Run']}` |"
        for path in sorted((CONFIGS / CLAIMS).glob("*.yaml"))
    ]
    head = ["| Claim | What it is | Command |", "| --- " * 3 + "|"]
    return "\n".join(["## Claims of the textbook", "", *head, *rows, ""])


def section(folder: str) -> str:
    """Return the section of a folder: a table with a row for each config."""
    title = PROFILES.get(folder) or title_of(folder)
    last = "Command" if folder in PROFILES else "Result"
    rows = [row(path, last) for path in sorted((CONFIGS / folder).glob("*.yaml"))]
    return "\n".join(
        [f"## {title}", "", f"| Config | What it is | {last} |", "| --- " * 3 + "|", *rows, ""]
    )


def row(path: Path, last: str) -> str:
    """Return the row of a config."""
    what, fields = header(path)
    value = fields["Result"] if last == "Result" else f"`{fields['Run']}`"
    return f"| [`{path.stem}`]({path.parent.name}/{path.name}) | {what} | {value} |"


def title_of(task: str) -> str:
    """Return the title of a task."""
    return docstring_of(PACKAGE / "tasks" / task / "__init__.py").partition(":")[0]


if __name__ == "__main__":
    (CONFIGS / "README.md").write_text(index(), encoding="utf-8")
