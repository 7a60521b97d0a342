"""The job id is that of the array task, and only running jobs are requeued."""

import os

import pytest

from rnn_lab.training import slurm

SCONTROL = """#!/bin/sh
echo "$@" >> {folder}/calls
[ "$1" = requeue ] || echo "JobId=7 JobState={state} Reason=None"
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Be a job with a fake `scontrol` that reports a state; returns the arguments of its calls."""
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def make(state, script=SCONTROL):
        (tmp_path / "scontrol").write_text(script.format(folder=tmp_path, state=state))
        (tmp_path / "scontrol").chmod(0o755)

    make.calls = lambda: (tmp_path / "calls").read_text().splitlines()
    return make


@pytest.mark.parametrize("state", ["RUNNING", "SIGNALING"])
def test_a_running_job_is_requeued_after_it_was_logged(state, job):
    job(state)
    messages = []
    slurm.requeue(lambda message: messages.append((message, len(job.calls()))))
    assert messages == [("requeueing SLURM job 7", 1)]  # logged before the second call
    assert job.calls() == ["show job --oneliner 7", "requeue 7"]


@pytest.mark.parametrize("state", ["CANCELLED", "COMPLETING", "TIMEOUT"])
def test_a_job_that_has_ended_is_not_requeued(state, job):
    job(state)
    messages = []
    slurm.requeue(messages.append)
    assert messages == ["SLURM job 7 has ended and is not requeued"]
    assert job.calls() == ["show job --oneliner 7"]


def test_an_error_of_scontrol_is_logged(job):
    job("", "#!/bin/sh\necho no controller >&2\nexit 1\n")
    messages = []
    slurm.requeue(messages.append)
    assert messages == ["SLURM job 7 could not be requeued: no controller"]


def test_nothing_happens_outside_slurm(job, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID")
    slurm.requeue(pytest.fail)
    assert slurm.job_id() == ""


def test_an_array_task_has_the_id_of_its_array(monkeypatch):
    for name, value in (("JOB_ID", "9"), ("ARRAY_JOB_ID", "5"), ("ARRAY_TASK_ID", "2")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert slurm.job_id() == "5_2"
