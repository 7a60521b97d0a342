"""A run uses all processes that its launcher started, or is refused in one line."""

from types import SimpleNamespace

import pytest

from rnn_lab.errors import UserError
from rnn_lab.training import check_world_size

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "GROUP_WORLD_SIZE": "2"
}  # fmt: skip
SRUN = {
    "SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS_PER_NODE": "2",
    "SLURM_STEP_NUM_NODES": "2",
}  # fmt: skip
VARIABLES = {*TORCHRUN, *SRUN, "SLURM_JOB_NAME"}


@pytest.fixture
def check(monkeypatch):
    """Check a number of processes under some environment variables."""

    def run(environment, world_size):
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        check_world_size(SimpleNamespace(world_size=world_size))

    return run


@pytest.mark.parametrize(
    ("environment", "world_size"),
    [
        ({}, 1),
        ({}, 2),  # Lightning starts the second process
        (TORCHRUN, 4),
        (SRUN, 4),
        ({"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "1"}, 1),
        ({"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "bash"}, 1),
        ({"SLURM_NTASKS": "1"}, 1),
    ],
)
def test_a_run_that_uses_all_processes_is_accepted(environment, world_size, check):
    check(environment, world_size)


@pytest.mark.parametrize(("environment", "launcher"), [(TORCHRUN, "torchrun"), (SRUN, "srun")])
@pytest.mark.parametrize("world_size", [1, 2])
def test_a_run_that_leaves_processes_out_is_refused(environment, launcher, world_size, check):
    expected = (
        rf"{launcher} started 4 processes, but the run uses {world_size}: set "
        "--trainer.devices=2 --trainer.num_nodes=2 --trainer.strategy=ddp"
    )
    with pytest.raises(UserError, match=expected):
        check(environment, world_size)


def test_a_job_with_several_tasks_must_be_started_with_srun(check):
    with pytest.raises(UserError, match=r"4 tasks, .* start it with `srun rnn-lab"):
        check({"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "train"}, 1)
