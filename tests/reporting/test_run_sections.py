"""Sections on a run: scores with intervals, what is missing."""

import pytest
from saved_runs import accuracy_run

from rnn_lab.reporting.run_sections import run_part, saved_run


def part_of(folder):
    return run_part(*saved_run(folder), "run-1", folder.name)


def test_a_tested_run_has_scores_with_intervals_and_its_cost(tmp_path):
    part = part_of(accuracy_run(tmp_path / "a", 0.8))
    titles = [section.title for section in part.sections]
    assert titles == ["Scores", "Most informative errors", "Cost", "Environment", "Config"]
    ((name, score, bounds),) = part.sections[0].tables[0].rows
    assert (name, score) == ("accuracy", "0.8000")
    assert " to " in bounds
    assert part.facts["model"] == "TextClassifier"


def test_validation_scores_are_those_of_the_best_step(tmp_path):
    folder = accuracy_run(tmp_path / "a", 0.8, state={"monitor": "val/accuracy"})
    (folder / "metrics.csv").write_text("step,val/loss,val/accuracy\n1,2,0.5\n2,3,0.75\n3,4,0.6\n")
    section = part_of(folder).sections[1]
    assert section.title == "Scores"
    assert [[*row] for row in section.tables[0].rows] == [["loss", "3.000"], ["accuracy", "0.7500"]]


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("config.yaml", "has no config.yaml"),
        ("state.json", "state.json is missing"),
        ("metrics.csv", "metrics.csv is missing or damaged"),
        ("cost.json", "cost.json is missing"),
        ("predictions.test.parquet", "predictions.test.parquet is missing"),
    ],
)
@pytest.mark.parametrize("damage", ["removed", "truncated"])
def test_a_missing_or_damaged_file_is_named(name, note, damage, tmp_path):
    folder = accuracy_run(tmp_path / "a", 0.8)
    if damage == "removed":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(b"")
        note = "is not the config of a run" if name == "config.yaml" else note
    first = part_of(folder).sections[0]
    assert first.title == "What is missing"
    assert any(note in each for each in first.notes)
