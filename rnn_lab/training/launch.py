"""Whether a run takes up all processes that were started for it."""

import os

from lightning import Trainer

from rnn_lab.errors import UserError

TORCHRUN = ("LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE")  # processes on a node, nodes
SRUN = ("SLURM_NTASKS_PER_NODE", "SLURM_STEP_NUM_NODES")


def check_world_size(trainer: Trainer) -> None:
    """Refuse a run that would leave some processes out: they would train on their own, or wait.

    Raises:
        UserError: If torchrun or srun has started more processes than the Trainer takes up, or
            several tasks were asked of SLURM and this process was not started by `srun`.
    """
    environment = os.environ
    started, launcher = 1, ""
    if "TORCHELASTIC_RUN_ID" in environment:
        started, launcher, names = int(environment["WORLD_SIZE"]), "torchrun", TORCHRUN
    elif "SLURM_STEP_NUM_TASKS" in environment:
        started, launcher, names = int(environment["SLURM_STEP_NUM_TASKS"]), "srun", SRUN
    elif int(environment.get("SLURM_NTASKS", "1")) > 1 and not _by_hand():
        raise UserError(
            f"the job has {environment['SLURM_NTASKS']} tasks and this is none of them: start it "
            "by `srun rnn-lab ...`"
        )
    if started in (1, trainer.world_size):
        return
    on_a_node, nodes = (environment.get(name, "") for name in names)
    devices = on_a_node or "TASKS_ON_A_NODE"
    raise UserError(
        f"{launcher} started {started} processes and the run takes up {trainer.world_size}: give "
        f"--trainer.devices={devices} --trainer.num_nodes={nodes or 1} --trainer.strategy=ddp"
    )


def _by_hand() -> bool:
    """Whether somebody sits in a shell of the job; Lightning, too, goes by its name."""
    return os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
