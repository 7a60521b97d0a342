"""Every kind of figure is drawn from saved runs."""

from itertools import pairwise

import numpy as np
import pytest
from claim_runs import claim, folders, hypothesis
from saved_runs import classified, write_run

from rnn_lab.claims import figures
from rnn_lab.claims.claim import FIGURES
from rnn_lab.comparison.saved_run import read_run
from rnn_lab.io.run_files import METRICS

VALUES = {"LSTM": [0.6, 0.61], "GRU": [0.8, 0.81]}


@pytest.fixture
def runs(tmp_path):
    for name, each in VALUES.items():
        for seed, score in enumerate(each, 1):
            table = classified(score, system=name, seed=seed)
            table["source_length"] = np.arange(200) // 10
            folder = tmp_path / f"{name}-{seed}"
            write_run(folder, seed=seed, scores={"accuracy": score}, table=table)
            lines = (folder / METRICS).read_text().splitlines()
            lines = [f"{line},{n or 'val/loss'}" for n, line in enumerate(lines)]
            (folder / METRICS).write_text("\n".join(lines) + "\n")
    return {
        name: [read_run(folder) for folder in each]
        for name, each in folders(tmp_path, VALUES).items()
    }


@pytest.mark.parametrize(
    ("kind", "options", "label"),
    [
        ("scores", {"log": True}, "test/accuracy"),
        ("cost", {"cost": "seconds"}, "test/accuracy"),
        ("curves", {"metric": "val/loss"}, "val/loss"),
        ("lengths", {}, "test/accuracy"),
        ("gradients", {}, "relative gradient norm"),
    ],
)
def test_a_figure_shows_both_variants(kind, options, label, runs, monkeypatch):
    monkeypatch.setattr(figures, "gradient_norms", lambda run, distance: [1.0] * (distance + 1))
    made = claim(hypothesis("gradient 20"), kind=kind, **options)
    (axes,) = figures.figure(made, runs).axes
    assert axes.get_ylabel() == label
    texts = [text.get_text() for text in axes.findobj(lambda each: hasattr(each, "get_text"))]
    assert {"LSTM", "GRU"} <= {*texts}
    assert figures.caption(made)


def test_every_kind_has_a_plot():
    assert {*figures.PLOTS} == {*FIGURES}


def test_each_source_is_in_one_part_of_the_figure_by_length(runs):
    (axes,) = figures.figure(claim(kind="lengths"), runs).axes
    labels = [label.get_text() for label in axes.get_xticklabels()]
    bounds = [tuple(map(int, label.split(" to "))) for label in labels]
    assert (bounds[0][0], bounds[-1][1]) == (0, 19)
    assert all(after[0] == before[1] + 1 for before, after in pairwise(bounds))
