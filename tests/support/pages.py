"""Blocks of code in Markdown pages, and tiny files of the names that the pages use.

A comment on the line before a fenced block says how the block is run:

    <!-- run: elsewhere, REASON -->  it is not run by the tests of pages
    <!-- run: with OPTIONS -->       options for `fit` in this block, instead of `SMALL`
    <!-- step: with OPTIONS -->      it is a step of a path, whose blocks are run in one shell by a
                                     test of their own; options for `fit` or `make` in this block
    <!-- step: as shown -->          the same, without options
    <!-- file: NAME -->              the block is written to a file of this name

Without a comment, blocks in `bash` and `python` are run, and all others are shown only.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

REPOSITORY = Path(__file__).parents[2]
GENERATED = {"_build", "_generated", "notebooks"}  # folders below docs that git ignores
BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>run|step|file): (?P<note>.+?) -->\n)?"
    r"^(?P<fence>`{3,})(?P<kind>[^\s`]*)[^\n`]*\n(?P<body>.*?)^(?P=fence)$",
    re.M | re.S,
)
SMALL = [
    *("--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.accelerator=cpu"),
    *("--trainer.limit_val_batches=2", "--trainer.limit_test_batches=2"),
    *("--trainer.enable_progress_bar=false", "--model.hidden_dim=8"),
]


class Block(NamedTuple):
    """A fenced block: language, content, and the comment before it, if any."""

    kind: str
    body: str
    mark: str
    note: str

    @property
    def runs(self) -> bool:
        elsewhere = self.mark == "step" or self.note.startswith("elsewhere, ")
        return self.kind in ("bash", "python") and not elsewhere

    @property
    def options(self) -> list[str]:
        """Options that make the commands of this block small."""
        if self.mark in ("run", "step"):
            return self.note.removeprefix("with ").removeprefix("as shown").split()
        return SMALL

    @property
    def lines(self) -> list[str]:
        """Commands of a block in bash, without comments."""
        lines = (line.partition("  # ")[0] for line in self.body.replace("\\\n", " ").splitlines())
        return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


@cache
def pages() -> list[str]:
    """Names of the pages that people write, relative to the repository."""
    files = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"]
    docs = (REPOSITORY / "docs").rglob("*.md")
    files += sorted(p for p in docs if GENERATED.isdisjoint(p.relative_to(REPOSITORY).parts))
    return [path.relative_to(REPOSITORY).as_posix() for path in files]


@cache
def read_page(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def blocks(name: str) -> list[Block]:
    matches = BLOCK.finditer(read_page(name))
    return [Block(*(match[g] or "" for g in ("kind", "body", "mark", "note"))) for match in matches]


def steps(name: str) -> Iterator[tuple[str, Block]]:
    """Yield the blocks of a page that are steps of a path, each with the heading above it."""
    text = read_page(name)
    for match in BLOCK.finditer(text):
        if match["mark"] == "step":
            heading = re.findall(r"^#+ (.+)$", text[: match.start()], re.M)[-1]
            yield heading, Block(match["kind"], match["body"], match["mark"], match["note"])


@cache
def without_blocks(name: str) -> str:
    return BLOCK.sub("", read_page(name))


@cache
def anchors(name: str) -> set[str]:
    """Names by which links can point to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(name), re.M)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in kept}


def links(name: str) -> Iterator[tuple[str, str]]:
    """Relative links of a page: path, and anchor or an empty text."""
    text = without_blocks(name)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http:", "https:")):
            path, _, anchor = target.partition("#")
            yield path, anchor


def write_lines(path: str, lines: list[str]) -> None:
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_files() -> None:
    """Write the files that the pages name, with tiny generated content."""
    rng = np.random.default_rng(0)
    words = ["the", "plot", "was", "good", "bad", "dull", "film"]
    sentences = [" ".join(rng.choice(words, rng.integers(3, 8))) for _ in range(60)]
    labeled = [f"{text},{('negative', 'positive')[i % 2]}" for i, text in enumerate(sentences)]
    for name in ("train", "test"):
        write_lines(f"{name}.csv", ["text,label", *labeled])
    write_lines("new.txt", sentences[:3])
    for name in ("train", "valid", "test"):
        write_lines(f"{name}.en", sentences)
        write_lines(f"{name}.de", [text.upper() for text in sentences])
    write_lines("new.en", sentences[:3])
    for name in ("book.txt", "other.txt"):
        write_lines(name, sentences * 4)
    write_lines("lines.txt", sentences[:3])
    write_series(rng)


def write_series(rng: np.random.Generator) -> None:
    hours = np.datetime64("2024-01-01T00") + np.arange(900)
    values = np.sin(np.arange(900) / 4) + rng.normal(0, 0.1, 900)
    rows = [f"{t},{v:.3f}" for t, v in zip(hours, values, strict=True)]
    write_lines("load.csv", ["date,OT", *rows])
    header = ["@classLabel true a b", "@data"]
    rows = [",".join(f"{v:.3f}" for v in rng.normal(i % 2, 1, 12)) for i in range(24)]
    for name in ("a_TRAIN.ts", "a_TEST.ts"):
        write_lines(name, [*header, *(f"{row}:{'ab'[i % 2]}" for i, row in enumerate(rows))])
    write_lines("new.ts", ["@classLabel false", "@data", *rows[:2]])
