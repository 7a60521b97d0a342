"""Check that a run uses all processes that its launcher started."""

import os

from lightning import Trainer

from rnn_lab.errors import UserError

TORCHRUN = ("LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE")  # processes per node, number of nodes
SRUN = ("SLURM_NTASKS_PER_NODE", "SLURM_STEP_NUM_NODES")


def check_world_size(trainer: Trainer) -> None:
    """Check that no process is left out, which would train independently or wait forever.

    Raises:
        UserError: If torchrun or srun started more processes than the Trainer uses, or a SLURM job
            has several tasks and this process was not started by `srun`.
    """
    environment = os.environ
    started, launcher = 1, ""
    if "TORCHELASTIC_RUN_ID" in environment:
        started, launcher, names = int(environment["WORLD_SIZE"]), "torchrun", TORCHRUN
    elif "SLURM_STEP_NUM_TASKS" in environment:
        started, launcher, names = int(environment["SLURM_STEP_NUM_TASKS"]), "srun", SRUN
    elif int(environment.get("SLURM_NTASKS", "1")) > 1 and not _is_interactive():
        raise UserError(
            f"the job has {environment['SLURM_NTASKS']} tasks, but this process is none of them: "
            "start it with `srun rnn-lab ...`"
        )
    if started in (1, trainer.world_size):
        return
    per_node, nodes = (environment.get(name, "") for name in names)
    devices = per_node or "TASKS_PER_NODE"
    raise UserError(
        f"{launcher} started {started} processes, but the run uses {trainer.world_size}: set "
        f"--trainer.devices={devices} --trainer.num_nodes={nodes or 1} --trainer.strategy=ddp"
    )


def _is_interactive() -> bool:
    """Return whether this is an interactive shell of a job; Lightning tests the same job names."""
    return os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
