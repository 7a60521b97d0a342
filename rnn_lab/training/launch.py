"""The processes that a launcher started: their common id, and whether a run uses all of them."""

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


def launch_id() -> str | None:
    """Return an id that all processes of this launch have, and no other launch of the same job.

    A W&B agent starts a run that was preempted again with the same id.

    Returns:
        The id; None if no W&B agent started this run, and no launcher several processes.
    """
    environment = os.environ
    if agent_run := run_of_agent():
        return agent_run
    if int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return f"{environment['SLURM_JOB_ID']}.{environment['SLURM_STEP_ID']}"
    if "TORCHELASTIC_RUN_ID" not in environment or environment["WORLD_SIZE"] == "1":
        return None
    run_id = environment["TORCHELASTIC_RUN_ID"]
    if run_id != "none":  # the default
        return run_id
    one_node = environment["LOCAL_WORLD_SIZE"] == environment["WORLD_SIZE"]
    return str(os.getppid()) if one_node else environment.get("SLURM_JOB_ID", run_id)


def run_of_agent() -> str | None:
    """Return the id of the W&B run for which an agent of a sweep started this command."""
    return os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None


def was_restarted() -> bool:
    """Return whether a launcher started this command again, after a signal or a killed process."""
    counts = ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT")
    return any(int(os.environ.get(name, "0")) for name in counts)


def _is_interactive() -> bool:
    """Return whether this is an interactive shell of a job; Lightning tests the same job names."""
    return os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
