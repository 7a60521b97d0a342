"""Runs that start at the same time, or in one job, never share a folder."""

import multiprocessing
import os
from contextlib import redirect_stderr
from pathlib import Path

import pytest
from command_line import REVIEWS, RUN, SIZES, error_of, run

from rnn_lab.training.run_lock import RunLock

pytestmark = pytest.mark.usefixtures("empty_folder")
context = multiprocessing.get_context("fork")
FOLDER = Path("runs/SyntheticReviews")


def start(words, barrier, statuses):
    barrier.wait()
    with open(f"errors-{os.getpid()}", "w") as file, redirect_stderr(file):
        status = run(*words)
    statuses.put((status, os.getpid()))


def run_at_once(count, *words):
    """Run `fit` in several processes; return their statuses and error messages."""
    barrier, statuses = context.Barrier(count), context.Queue()
    processes = [
        context.Process(target=start, args=(("fit", *words), barrier, statuses))
        for _ in range(count)
    ]
    for process in processes:
        process.start()
    ended = [statuses.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    return {status: Path(f"errors-{pid}").read_text() for status, pid in sorted(ended)}


@pytest.mark.slow
def test_eight_runs_without_a_name_have_eight_folders():
    assert run_at_once(8, *REVIEWS, *SIZES).keys() == {0}
    folders = sorted(FOLDER.iterdir())
    assert [folder.name for folder in folders] == [f"LSTMClassifier-{n}" for n in range(1, 9)]
    for folder in folders:
        assert {path.name for path in (folder / "checkpoints").iterdir()} == {
            "best.ckpt", "last.ckpt"
        }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("resume", [[], ["--ckpt_path=last"]], ids=["new", "last"])
def test_of_two_runs_with_one_name_one_is_refused(resume):
    errors = run_at_once(2, *REVIEWS, *SIZES, "--name=a", "--trainer.max_epochs=40", *resume)
    assert errors.keys() == {0, 1}
    (line,) = (line for line in errors[1].splitlines() if line.startswith("rnn-lab:"))
    assert f"{RUN} is being used by" in line
    assert "Traceback" not in errors[1]


@pytest.mark.slow
def test_runs_of_one_job_have_different_folders(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "777")
    for _ in range(2):
        assert run("fit", *REVIEWS, *SIZES) == 0
    names = {path.name for path in FOLDER.iterdir()}
    assert names == {"LSTMClassifier-1", "LSTMClassifier-2"}


def test_the_number_of_a_run_that_failed_at_its_start_is_free_again(capsys):
    diverging = ["--model.optimizer=SGD", "--model.optimizer.lr=1e39"]
    diverging.append("--trainer.gradient_clip_val=null")
    assert "loss is nan" in error_of(capsys, "fit", *REVIEWS, *SIZES, *diverging)
    assert run("fit", *REVIEWS, *SIZES) == 0
    assert [path.name for path in FOLDER.iterdir()] == ["LSTMClassifier-1"]


@pytest.mark.parametrize(
    "options", [[], ["--ckpt_path=last"], ["--overwrite=true"]], ids=["new", "last", "overwrite"]
)
def test_a_folder_in_use_is_refused(options, capsys, trained):
    ready, done = context.Event(), context.Event()

    def hold():
        lock = RunLock(RUN)
        ready.set()
        done.wait()
        lock.release()

    holder = context.Process(target=hold)
    holder.start()
    assert ready.wait(20)
    try:
        line = error_of(capsys, "fit", *REVIEWS, *SIZES, "--name=a", *options)
        assert f"is being used by process {holder.pid}" in line
    finally:
        done.set()
        holder.join()


def test_a_child_process_uses_the_folder_of_its_launch(monkeypatch):
    assert run("fit", *REVIEWS, *SIZES) == 0
    assert os.environ["RNN_LAB_RUN"] == str(FOLDER / "LSTMClassifier-1")


def test_processes_without_a_common_launch_need_a_name(capsys, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "several processes write to one" in error_of(capsys, "fit", *REVIEWS, *SIZES)
