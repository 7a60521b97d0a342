"""The path of a newcomer, from a clone to models for own data, runs as its page shows it."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.image import imread
from pages import REPOSITORY, Block, steps, write_files

PAGE = "docs/start/ten-minutes.md"
VIEWER = '#!/bin/sh\nprintf "%s\\n" "$PWD/$1" >> "$OPENED"\n'  # it notes the pictures that it opens
AFTER = '\nprintf "%s\\n" "$PWD" "$PATH" > "$AFTER"'  # for the shell of the next step


class Shell:
    """Runs steps as one shell would: the working folder and the path last."""

    def __init__(self, folder: Path):
        self.folder, self.after, self.opened = folder, folder / "after", folder / "opened"
        viewer = folder / "bin" / "xdg-open"
        viewer.parent.mkdir()
        viewer.write_text(VIEWER)
        viewer.chmod(0o755)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
            **{"AFTER": str(self.after), "OPENED": str(self.opened)},
            **{
                "PATH": f"{viewer.parent}:{os.environ['PATH']}",
                "PYTHONPATH": str(folder / "rnn_lab"),
            },
        }

    def run(self, block: Block) -> str:
        """Run the commands of a block, with its options for `fit` and `make`."""
        lines = [line.replace("<this repository>", str(REPOSITORY)) for line in block.lines]
        small = ("rnn-lab fit ", "make ")
        lines = [" ".join([x, *block.options]) if x.startswith(small) else x for x in lines]
        done = subprocess.run(
            ["bash", "-ec", "\n".join(lines) + AFTER],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block.body}\n{done.stdout}\n{done.stderr}"
        folder, self.environment["PATH"] = self.after.read_text().splitlines()
        self.folder = Path(folder)
        return done.stdout


def answers(output: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def check_demo(output: str) -> None:
    assert [answer["label"] for answer in answers(output)] == ["positive", "positive", "negative"]
    accuracy = next(line for line in output.splitlines() if line.startswith("accuracy"))
    assert float(accuracy.split()[-1]) >= 0.98  # on the test split


def check_forecast(path: Path) -> None:
    forecast = pd.read_csv(path, parse_dates=["date"])
    assert forecast.shape == (24, 6)
    assert forecast["OT"].between(-1.5, 1.5).all()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="there is no repository to clone")
def test_a_newcomer_gets_from_a_clone_to_models_for_own_data(tmp_path, monkeypatch, capsys):
    shell, outputs, seconds = Shell(tmp_path), {}, Counter()
    for heading, block in steps(PAGE):
        start = time.monotonic()
        outputs[heading] = outputs.get(heading, "") + shell.run(block)
        seconds[heading] += time.monotonic() - start
        if not (shell.folder / ".venv").exists():  # the clone is new
            (shell.folder / ".venv").symlink_to(sys.prefix)
            monkeypatch.chdir(shell.folder)
            write_files()
    with capsys.disabled():
        print("", *(f"{time:6.1f} s  {heading}" for heading, time in seconds.items()), sep="\n")
    clone, (demo, texts, pairs, *_) = shell.folder, outputs.values()
    assert clone == tmp_path / "rnn_lab"
    check_demo(demo)
    assert {answer["label"] for answer in answers(texts)} <= {"negative", "positive"}
    assert len(answers(texts)) == 3
    assert len(pairs.splitlines()) > 3  # a table of metrics, and a translation of each line
    check_forecast(clone / "forecast.csv")
    pictures = shell.opened.read_text().splitlines()
    assert len(pictures) >= 1
    for picture in pictures:
        pixels = imread(picture)
        assert min(pixels.shape[:2]) >= 300
        assert (pixels != pixels[0, 0]).any(), f"{picture} has one color"
