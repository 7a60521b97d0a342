"""The table of runs shows metric and test score, and fits the terminal."""

import time

import pytest

from rnn_lab.commands._status_table import table

RUN = {
    "run": "runs/texts/LSTMClassifier-1", "state": "finished", "reason": None, "step": 60,
    "epoch": 3, "max_epochs": 3, "monitor": "val/accuracy", "best": 0.5625,
    "test_metric": "test/accuracy", "test": 0.5, "job": None, "heartbeat": None,
}  # fmt: skip
FAILED = RUN | {
    "run": "runs/texts/an-experiment-with-a-very-long-name-seed-17", "state": "failed",
    "reason": "CUDA out of memory: tried to allocate 20 GiB", "test": None, "job": "12345_17",
    "heartbeat": time.time(),
}  # fmt: skip


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_lines_fit_the_width_and_are_aligned(width):
    text = table([RUN, FAILED], width)
    head, first, second = text.splitlines()
    assert all(len(line) <= width for line in text.splitlines())
    for title in ("state", "step", "epoch", "best"):
        position = head.index(title)
        assert all(row[position - 1] == " " and row[position] != " " for row in (first, second))
    assert "texts/" in second
    assert "eed-17" in second


def test_a_table_for_a_file_has_all_columns_in_full_length():
    lines = table([FAILED] * 2).splitlines()
    assert lines[1].endswith(FAILED["reason"])
    assert lines[0].split()[-1] == "job"


def test_a_terminal_shows_no_empty_columns():
    assert table([RUN], 80).splitlines()[0].split() == [
        "run",
        "state",
        "step",
        "epoch",
        "best",
        "test",
    ]


@pytest.mark.parametrize(
    ("run", "cells"),
    [
        (RUN, ["val/accuracy 0.5625", "0.5000"]),
        (
            RUN | {"monitor": "train/loss", "best": 0.25},
            ["train/loss 0.2500", "test/accuracy 0.5000"],
        ),
        (RUN | {"best": None}, ["-", "test/accuracy 0.5000"]),
        (RUN | {"test": None}, ["val/accuracy 0.5625", "-"]),
    ],
    ids=["same_metric", "other_metric", "only_test", "no_test"],
)  # fmt: skip
def test_a_test_score_is_named_unless_it_is_the_metric_of_the_best_checkpoint(run, cells):
    (_, line) = table([run]).splitlines()
    assert "  ".join(cells) in " ".join(line.split("   ")).replace("   ", "  ")
