"""The option `--wandb` of `sweep`: a sweep of Weights & Biases, whose agents train the trials."""

import os
from argparse import Namespace
from pathlib import Path
from typing import Any, TextIO

import yaml

from rnn_lab.commands._sweep_plan import SweepPlan
from rnn_lab.errors import UserError
from rnn_lab.io.atomic import atomic_write
from rnn_lab.sweeps.wandb_config import sweep_config
from rnn_lab.training.wandb_logger import PROJECT, reason_offline

FILE, REGISTERED = "wandb_sweep.yaml", "wandb_sweep.id"


def write_sweep(args: Namespace, plan: SweepPlan, output: TextIO) -> None:
    """Write the space as a W&B sweep, register it, and print how its agents are started.

    The same command again does not register it twice. Without an account or a network the file
    alone is written.

    Args:
        args: Options of `sweep`.
        plan: The sweep.
        output: Where it is printed.

    Raises:
        UserError: If W&B cannot express the sweep, or has another one of the name.
    """
    project = args.wandb or os.environ.get("WANDB_PROJECT") or PROJECT
    options = [*plan.options, f"--wandb={project}"]
    config: dict[str, Any] = {
        "name": plan.folder.name,
        "project": project,
        **sweep_config(plan.space, plan.settings, plan.budget.trials, options),
    }
    path, record = plan.folder / FILE, plan.folder / REGISTERED
    if record.exists():
        if yaml.safe_load(path.read_text(encoding="utf-8")) != config:
            raise UserError(f"{plan.folder} has another W&B sweep: give another --name")
        _print_agent(record.read_text(encoding="utf-8").strip(), output)
        return
    with atomic_write(path) as file:
        yaml.safe_dump(config, file, sort_keys=False)
    output.write(f"written: {path}\n")
    sweep, reason = _register(config)
    if sweep is None:
        output.write(f"not registered, {reason}: later `wandb sweep {path}`\n")
        return
    with atomic_write(record) as file:
        file.write(f"{sweep}\n")
    _print_agent(sweep, output)


def _register(config: dict[str, Any]) -> tuple[str | None, str]:
    """Register a sweep; return its path at W&B, or why it could not be registered."""
    reason = reason_offline("rnn-lab sweep")
    if reason is not None:
        return None, reason
    import wandb

    try:
        number = wandb.sweep(config, project=config["project"])
    except Exception as error:  # of several libraries, if there is no network or the key is wrong
        return None, " ".join(str(error).split()) or type(error).__name__
    entity = os.environ.get("WANDB_ENTITY")  # set by `wandb.sweep` to that of the sweep
    return "/".join(filter(None, (entity, config["project"], number))), ""


def _print_agent(sweep: str, output: TextIO) -> None:
    output.write(f"in {Path.cwd()}, once for each trial at a time:\n  wandb agent {sweep}\n")
