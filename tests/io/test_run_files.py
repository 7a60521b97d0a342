"""Run folders are found by their files, and damaged files are no records."""

from pathlib import Path

import pytest

from rnn_lab.io.run_files import (
    CHECKPOINTS,
    NOT_FINITE,
    STATE,
    SUBMISSION,
    has_diverged,
    read_metrics,
    read_record,
    runs_below,
)


def test_a_run_is_found_by_any_of_its_files_but_nothing_within_it(tmp_path: Path) -> None:
    for name in ("a/b", f"c/{CHECKPOINTS}", "d/ensemble", "e"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a/b" / STATE).touch()
    (tmp_path / "d" / SUBMISSION).touch()
    (tmp_path / "d/ensemble" / STATE).touch()
    found = {str(path.relative_to(tmp_path)) for path in runs_below(tmp_path)}
    assert found == {"a/b", "c", "d"}
    assert list(runs_below(tmp_path / "a/b")) == [tmp_path / "a/b"]


@pytest.mark.parametrize("text", [None, "", "{", "[1]", '"text"'])
def test_a_damaged_record_is_empty(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    if text is not None:
        path.write_text(text)
    assert read_record(path) == {}


def test_metrics_are_columns_with_gaps(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,val/loss\n1,\n2,0.5\n")
    assert read_metrics(path) == {"step": [1.0, 2.0], "val/loss": [None, 0.5]}
    path.write_text("")
    assert read_metrics(path) == {}


def test_a_run_has_diverged_if_it_failed_by_a_loss_that_is_not_finite() -> None:
    reason = f"val/{NOT_FINITE} after step 3: no checkpoint was saved yet"
    assert has_diverged({"state": "failed", "reason": reason})
    assert not has_diverged({"state": "failed", "reason": "no space is left"})
    assert not has_diverged({"state": "finished", "reason": None})
    assert not has_diverged({})
