"""The commands of the README run, in order, on small files of the formats it describes."""

import io
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from rnn_lab.__main__ import main

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
SMALL = [
    *("--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.accelerator=cpu"),
    *("--trainer.enable_progress_bar=false", "--model.hidden_dim=8"),
]
ELSEWHERE = {  # words of commands that other tests run, or that need what is absent here
    "my_package": "tests/plugin runs a package of the user",
    "torchrun": "tests/cluster runs several processes",
    "--data=SST2": "tests/test_configs.py runs it on the real data",
    "make ": "CI runs these targets",
    "git clone": "no network",
    "source ": "the tests run in the environment",
    "export ": "a setting of the shell",
}


def commands() -> list[str]:
    """The commands in fenced blocks that hold a command line."""
    blocks = re.findall(r"^```(?:bash)?\n(.*?)^```", README, re.S | re.M)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    first = ("rnn-lab ", *ELSEWHERE)
    return [line.partition("  # ")[0].strip() for line in lines if line.startswith(first)]


def write_lines(path: str, lines: list[str]) -> None:
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_files() -> None:
    """Write the files that the README names, with tiny generated content."""
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
    hours = np.datetime64("2024-01-01T00") + np.arange(900)
    values = np.sin(np.arange(900) / 4) + rng.normal(0, 0.1, 900)
    write_lines(
        "load.csv", ["date,OT", *(f"{t},{v:.3f}" for t, v in zip(hours, values, strict=True))]
    )
    header = ["@classLabel true a b", "@data"]
    rows = [",".join(f"{v:.3f}" for v in rng.normal(i % 2, 1, 12)) for i in range(24)]
    for name in ("a_TRAIN.ts", "a_TEST.ts"):
        write_lines(name, [*header, *(f"{row}:{'ab'[i % 2]}" for i, row in enumerate(rows))])
    write_lines("new.ts", ["@classLabel false", "@data", *rows[:2]])
    for name in ("book.txt", "other.txt"):
        write_lines(name, sentences * 4)
    write_lines("lines.txt", sentences[:3])
    write_lines("grid.yaml", ["model.hidden_dim: [8, 16]", "model.optimizer.lr: [0.01, 0.001]"])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")
def test_every_command_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_files()
    ran = 0
    for command in commands():
        if any(word in command for word in ELSEWHERE):
            continue
        _, name, *words = shlex.split(command)
        if name == "fit":
            words += SMALL
        if name == "submit" and "--dry-run" not in words:
            words.append("--dry-run")
        words = [str(REPOSITORY / word) if word.startswith("configs/") else word for word in words]
        with monkeypatch.context() as patched:
            if name == "translate":  # it reads what is typed; no other command may read it
                patched.setattr(sys, "stdin", io.StringIO("the film was good\n"))
            assert main([name, *words]) == 0, f"{command}\n{capsys.readouterr().err}"
        ran += 1
    assert ran >= 15


def test_every_file_that_the_readme_links_is_there():
    links = re.findall(r"\]\((?!http)([^)#]+)", README)
    paths = re.findall(r"`((?:configs|notebooks|tests|rnn_lab)/[\w./-]+\.\w+)`", README)
    assert [path for path in {*links, *paths} if not (REPOSITORY / path).exists()] == []
