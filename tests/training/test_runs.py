"""The folder of a run: taken, used, and cleared of what a run wrote alone."""

import pytest

from rnn_lab.errors import UserError
from rnn_lab.training.runs import (
    MANIFEST,
    artifact_path,
    ensure_unused,
    new_run_dir,
    prepare_run_dir,
    record_artifacts,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_run_removes_what_the_last_one_wrote_and_nothing_else(tmp_path):
    run = tmp_path / "run"
    prepare_run_dir(run)
    artifact_path(run, "scores.json").write_text("{}")
    artifact_path(run, "attention/valid-0.png").write_text("")
    record_artifacts(run, "checkpoints", "wandb")
    (run / "checkpoints").mkdir()
    (run / "notes.txt").write_text("of the user")
    prepare_run_dir(run)
    assert names(run) == [MANIFEST, "notes.txt"]


def test_what_is_written_twice_is_noted_once(tmp_path):
    prepare_run_dir(tmp_path)
    for _ in range(3):
        artifact_path(tmp_path, "attention/0.png")
    assert (tmp_path / MANIFEST).read_text() == "attention\n"


def test_a_folder_that_no_run_has_claimed_is_left_alone(tmp_path):
    artifact_path(tmp_path, "scores.json").write_text("{}")
    prepare_run_dir(tmp_path)
    assert names(tmp_path) == [MANIFEST, "scores.json"]


@pytest.mark.parametrize("name", ["../outside", "/etc", "..", ".", ""])
def test_nothing_outside_the_folder_is_removed_whatever_the_manifest_says(tmp_path, name):
    run = tmp_path / "run"
    prepare_run_dir(run)
    (tmp_path / "outside").write_text("")
    (run / "notes.txt").write_text("")
    (run / MANIFEST).write_text(f"{name}\n")
    prepare_run_dir(run)
    assert (tmp_path / "outside").exists()
    assert names(run) == [MANIFEST, "notes.txt"]


def test_a_folder_with_a_run_in_it_is_refused(tmp_path):
    prepare_run_dir(tmp_path)
    ensure_unused(tmp_path)
    artifact_path(tmp_path, "metrics.csv").write_text("")
    with pytest.raises(UserError, match="already contains a run"):
        ensure_unused(tmp_path)


@pytest.mark.parametrize("name", ["a/b", "..", "", "a b"])
def test_a_name_that_is_a_path_is_refused(name):
    with pytest.raises(UserError, match="--name must be a plain name"):
        new_run_dir("e", name, "Model")


def test_a_link_is_removed_and_what_it_points_to_is_kept(tmp_path):
    run, scratch = tmp_path / "run", tmp_path / "scratch"
    prepare_run_dir(run)
    scratch.mkdir()
    (scratch / "last.ckpt").write_text("")
    record_artifacts(run, "checkpoints")
    (run / "checkpoints").symlink_to(scratch)
    prepare_run_dir(run)
    assert names(run) == [MANIFEST]
    assert names(scratch) == ["last.ckpt"]


def test_a_run_that_does_not_say_what_it_wrote_is_not_mixed_with_another(tmp_path):
    (tmp_path / "metrics.csv").write_text("step\n")
    with pytest.raises(UserError, match=r"contains a run without \.artifacts"):
        prepare_run_dir(tmp_path)
    assert names(tmp_path) == ["metrics.csv"]
