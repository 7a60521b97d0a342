"""Run folders are prepared, used, and cleared of the files of earlier runs only."""

import multiprocessing
from pathlib import Path

import pytest

from rnn_lab.errors import UserError
from rnn_lab.io.run_files import SUBMISSION
from rnn_lab.training import runs
from rnn_lab.training.runs import (
    MANIFEST,
    artifact_path,
    create_next_run_dir,
    ensure_unused,
    lock_next_run_dir,
    named_run_dir,
    prepare_run_dir,
    record_artifacts,
)

context = multiprocessing.get_context("fork")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_run_removes_only_the_files_of_the_previous_run(tmp_path):
    run = tmp_path / "run"
    prepare_run_dir(run)
    artifact_path(run, "scores.json").write_text("{}")
    artifact_path(run, "attention/valid-0.png").write_text("")
    record_artifacts(run, "checkpoints", "wandb")
    (run / "checkpoints").mkdir()
    (run / "notes.txt").write_text("of the user")
    prepare_run_dir(run)
    assert names(run) == [MANIFEST, "notes.txt"]


def test_a_file_that_is_written_twice_is_recorded_once(tmp_path):
    prepare_run_dir(tmp_path)
    for _ in range(3):
        artifact_path(tmp_path, "attention/0.png")
    assert (tmp_path / MANIFEST).read_text() == "attention\n"


def test_files_written_before_the_folder_was_prepared_are_not_recorded(tmp_path):
    artifact_path(tmp_path, "scores.json").write_text("{}")
    prepare_run_dir(tmp_path)
    assert names(tmp_path) == [MANIFEST, "scores.json"]


@pytest.mark.parametrize("name", ["../outside", "/etc", "..", ".", ""])
def test_no_manifest_entry_removes_a_file_outside_the_folder(tmp_path, name):
    run = tmp_path / "run"
    prepare_run_dir(run)
    (tmp_path / "outside").write_text("")
    (run / "notes.txt").write_text("")
    (run / MANIFEST).write_text(f"{name}\n")
    prepare_run_dir(run)
    assert (tmp_path / "outside").exists()
    assert names(run) == [MANIFEST, "notes.txt"]


def test_a_folder_that_contains_a_run_is_refused(tmp_path):
    prepare_run_dir(tmp_path)
    ensure_unused(tmp_path)
    artifact_path(tmp_path, "metrics.csv").write_text("")
    with pytest.raises(UserError, match="already contains a run"):
        ensure_unused(tmp_path)


@pytest.mark.parametrize("name", ["a/b", "..", "", "a b"])
def test_a_name_that_is_a_path_is_refused(name):
    with pytest.raises(UserError, match="--name must be a plain name"):
        named_run_dir("e", name, "Model")


def test_a_link_is_removed_but_not_its_target(tmp_path):
    run, scratch = tmp_path / "run", tmp_path / "scratch"
    prepare_run_dir(run)
    scratch.mkdir()
    (scratch / "last.ckpt").write_text("")
    record_artifacts(run, "checkpoints")
    (run / "checkpoints").symlink_to(scratch)
    prepare_run_dir(run)
    assert names(run) == [MANIFEST]
    assert names(scratch) == ["last.ckpt"]


def test_a_run_without_a_manifest_is_not_overwritten(tmp_path):
    (tmp_path / "metrics.csv").write_text("step\n")
    with pytest.raises(UserError, match=r"contains a run without \.artifacts"):
        prepare_run_dir(tmp_path)
    assert names(tmp_path) == ["metrics.csv"]


def take(barrier, taken, done):
    barrier.wait()
    lock = lock_next_run_dir("e", "Model")
    taken.put(lock.folder.name)
    done.wait()  # keep the lock until all have one


def test_runs_that_start_at_once_have_different_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    barrier, taken, done = context.Barrier(8), context.Queue(), context.Event()
    processes = [context.Process(target=take, args=(barrier, taken, done)) for _ in range(8)]
    for process in processes:
        process.start()
    numbers = {taken.get(timeout=20) for _ in processes}
    done.set()
    for process in processes:
        process.join()
    assert numbers == {f"Model-{number}" for number in range(1, 9)}


@pytest.mark.parametrize(
    ("files", "number"),
    [
        ([], 2),  # of another program
        ([MANIFEST], 1),
        ([MANIFEST, "state.json", "config.yaml"], 1),
        ([MANIFEST, "metrics.csv"], 2),
        ([MANIFEST, "checkpoints"], 2),
        ([MANIFEST, SUBMISSION], 2),  # its job may be queued
        (["metrics.test.csv"], 2),
    ],
    ids=["foreign", "prepared", "failed", "metrics", "checkpoints", "submitted", "tested"],
)
def test_the_number_of_a_run_without_results_is_free_again(files, number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("runs/e/Model-1").mkdir(parents=True)
    for name in files:
        Path("runs/e/Model-1", name).write_text("")
    lock = lock_next_run_dir("e", "Model")
    assert lock.folder == Path(f"runs/e/Model-{number}")
    lock.release()


def test_a_number_that_another_process_takes_meanwhile_is_not_used(tmp_path, monkeypatch):
    names = iter(["Model-1", "Model-2"])
    monkeypatch.setattr(runs, "next_run_name", lambda *_: next(names))
    (tmp_path / "Model-1").mkdir()
    lock = create_next_run_dir(tmp_path, "Model")
    assert lock.folder == tmp_path / "Model-2"
    lock.release()
    assert not lock.folder.exists()
