"""A run uses all processes that its launcher started, or is refused in one line."""

import os
from types import SimpleNamespace

import pytest

from rnn_lab.errors import UserError
from rnn_lab.training import check_world_size
from rnn_lab.training.launch import launch_id, run_of_agent, was_restarted

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


SRUN_STEP = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "2", "SLURM_STEP_NUM_TASKS": "4"}
STATIC = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "7"}, None),
        (SRUN_STEP, "7.2"),
        (SRUN_STEP | {"SLURM_STEP_NUM_TASKS": "1"}, None),
        (STATIC | {"TORCHELASTIC_RUN_ID": "abc"}, "abc"),
        (STATIC | {"SLURM_JOB_ID": "7"}, "7"),
        (STATIC, "none"),
        (STATIC | {"LOCAL_WORLD_SIZE": "4"}, str(os.getppid())),
        (STATIC | {"WORLD_SIZE": "1"}, None),
    ],
    ids=["alone", "in a job", "srun", "srun of one", "named torchrun", "torchrun in a job",
         "torchrun", "torchrun on one node", "torchrun of one"],
)  # fmt: skip
def test_the_processes_of_a_launch_have_a_common_id(environment, expected, monkeypatch):
    for name in {*SRUN_STEP, *STATIC}:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert launch_id() == expected


@pytest.mark.parametrize("name", ["SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT"])
def test_a_restart_is_noticed(name, monkeypatch):
    monkeypatch.setenv(name, "0")
    assert not was_restarted()
    monkeypatch.setenv(name, "1")
    assert was_restarted()


def test_a_run_of_a_w_and_b_agent_has_the_id_of_the_agent(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_RUN_ID", "xyz")
    monkeypatch.delenv("WANDB_SWEEP_ID", raising=False)
    assert launch_id() is None  # the user has chosen the id
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    assert launch_id() == run_of_agent() == "xyz"
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")  # an agent in each task
    assert launch_id() == "xyz"
