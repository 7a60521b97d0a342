"""Weights & Biases, online or offline, without prompts and failures."""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only

from rnn_lab.core.task import Task

log = logging.getLogger(__name__)

PROJECT = "rnn-lab"  # unless another one is given
NO_KEY = "no API key is configured"
INIT_TIMEOUT = 5.0  # seconds; without a network wandb gives up after about three times as long


class OfflineWandbLogger(WandbLogger):
    """Log to Weights & Biases, or to the run folder for a later `wandb sync` (offline mode).

    A missing account or network neither prompts nor fails: `auto` is online if an API key is
    configured and offline otherwise, and if the server cannot be reached the run is offline, with a
    warning. A resumed run continues the same W&B run if both parts are online; otherwise it is
    another W&B run of the same group.

    Args:
        project: Project on W&B; None for that in `WANDB_PROJECT`, or `rnn-lab`.
        name: Name of the run; None for that in `WANDB_NAME`, or the name of its folder.
        group: Group of the run; None for that in `WANDB_RUN_GROUP`, or the name of the parent of
            the run folder.
        entity: User or team that owns the project; None for the default of the account.
        job_type: Kind of the run, by which runs can be grouped; None for the command.
        tags: Tags of the run.
        id: Id of the W&B run to resume (online only: syncing an offline run replaces it).
        mode: `auto`, `online`, `offline`, or `disabled` to log nothing.
        save_dir: Parent of the `wandb` folder; None for the run folder (see `configure_loggers`).
        log_model: Upload checkpoints: the last ones when training ends, or `all` when saved.
        watch: Log histograms of gradients, parameters or both (`all`).
        alert: Send an alert when training has ended or failed.
    """

    # No **kwargs on purpose: the command line would pass a null for every argument of wandb.init,
    # and nulls override wandb's own settings.
    def __init__(
        self,
        project: str | None = None,
        name: str | None = None,
        group: str | None = None,
        entity: str | None = None,
        job_type: str | None = None,
        tags: list[str] | None = None,
        id: str | None = None,
        mode: Literal["auto", "online", "offline", "disabled"] = "auto",
        save_dir: str | None = None,
        log_model: bool | Literal["all"] = False,
        watch: Literal["gradients", "parameters", "all"] | None = None,
        alert: bool = False,
    ) -> None:
        super().__init__(
            project=project or os.environ.get("WANDB_PROJECT") or PROJECT,
            name=name,
            id=id,
            log_model=log_model,
            group=group,
            entity=entity,
            job_type=job_type,
            tags=tags,
            mode=mode,
            settings={"init_timeout": INIT_TIMEOUT},
        )
        self._wandb_init.pop("anonymous")  # deprecated: warns even if it is None
        self._save_dir = save_dir
        self._watch, self._alert = watch, alert

    def set_run_dir(self, folder: str, job_type: str | None = None) -> None:
        """Set the folder, the name and group derived from it, and the job type.

        Existing values are not replaced.
        """
        self._save_dir = self._save_dir or folder
        defaults = {
            "name": ("WANDB_NAME", Path(folder).name),
            "group": ("WANDB_RUN_GROUP", Path(folder).parent.name),
            "job_type": ("WANDB_JOB_TYPE", job_type),
        }
        for key, (variable, default) in defaults.items():
            value = self._wandb_init[key] or os.environ.get(variable) or default
            self._wandb_init[key] = value
        self._name = self._wandb_init["name"]

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, which is started on first access."""
        if self._experiment is None:
            self._start_run()
        return self._experiment

    def _start_run(self) -> None:
        if (
            "wandb" not in sys.modules
        ):  # a service of the process that started this one ends with it
            os.environ.pop("WANDB_SERVICE", None)
        import wandb

        # Absolute: a wandb service that another process has started has its own working directory.
        directory = Path(self._save_dir or ".").absolute()
        directory.mkdir(parents=True, exist_ok=True)
        self._wandb_init["dir"] = str(directory)
        if wandb.run is not None and wandb.run is OfflineWandbLogger._latest:
            wandb.finish()  # of an earlier logger; a run that the user started is used
        if self._wandb_init["mode"] in ("auto", "online"):
            self._wandb_init["mode"] = _resolve_mode(self._wandb_init["mode"])
        id_file = directory / "wandb" / "id"
        if self._wandb_init["mode"] == "online" and not self._id and id_file.exists():
            self._wandb_init["id"] = id_file.read_text().strip()
        try:
            OfflineWandbLogger._latest = super().experiment
            if self._wandb_init["mode"] == "online":
                id_file.parent.mkdir(exist_ok=True)
                id_file.write_text(OfflineWandbLogger._latest.id)
        except wandb.errors.Error as error:
            if self._wandb_init["mode"] != "online":
                raise
            reason = str(error).splitlines()[0]
            log.warning("W&B: %s; this run stays offline, `wandb sync` sends it later", reason)
            self._wandb_init |= {"mode": "offline", "id": self._id}
            OfflineWandbLogger._latest = super().experiment

    _latest: Any = None  # the last W&B run that a logger of this process started

    @rank_zero_only
    def finish_preempted(self, exit_code: int) -> None:
        """Mark the W&B run as preempted, finish it, and stop the wandb service.

        An agent of a sweep sends SIGTERM to stop a run early. Such a run is not marked, as W&B
        would start it again.

        Args:
            exit_code: Exit status of the command.
        """
        import wandb

        if not stopped_by_agent(exit_code - 128):
            self.experiment.mark_preempting()
        self.experiment.finish(exit_code=exit_code)
        wandb.teardown()  # SLURM may end the service first, and this process would fail at exit

    @rank_zero_only
    def send_alert(self, state: str, reason: str | None) -> None:
        """Send an alert that training has ended, if `alert` is set.

        Args:
            state: State of the run, such as `finished` or `failed`.
            reason: Reason of the state; None if there is none.
        """
        if self._alert:
            level = "INFO" if state == "finished" else "ERROR"
            text = reason or f"training has {state}"
            self.experiment.alert(title=f"{self._name}: {state}", text=text, level=level)

    @rank_zero_only
    def log_graph(self, model: torch.nn.Module, input_array: Any = None) -> None:
        """Log the number of parameters; the Trainer calls this once with the model.

        The table of runs shows the best value of the metric that selects checkpoints.
        """
        if isinstance(model, Task):
            step = "trainer/global_step"  # of Lightning
            self.experiment.define_metric(model.monitor, step_metric=step, summary=model.mode)
        if self._watch:
            self.watch(model, log=self._watch, log_graph=False)
        sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
        trainable = sum(size for size, requires_grad in sizes if requires_grad)
        counts = {"parameters": sum(size for size, _ in sizes), "trainable_parameters": trainable}
        self.experiment.config.update(counts, allow_val_change=True)

    @rank_zero_only
    def log_confusion_matrix(
        self, key: str, matrix: Sequence[Sequence[int]], labels: Sequence[str]
    ) -> None:
        """Log a confusion matrix as a W&B chart.

        Args:
            key: Name of the chart.
            matrix: Counts by true class (rows) and predicted class (columns).
            labels: Name of each class.
        """
        import wandb

        cells = [
            [actual, predicted, int(count)]
            for actual, row in zip(labels, matrix, strict=True)
            for predicted, count in zip(labels, row, strict=True)
        ]
        chart = wandb.plot_table(
            "wandb/confusion_matrix/v1",
            wandb.Table(columns=["Actual", "Predicted", "nPredictions"], data=cells),
            {name: name for name in ("Actual", "Predicted", "nPredictions")},
            {"title": "confusion matrix of the test split"},
        )
        self.experiment.log({key: chart})


def stopped_by_agent(signum: int) -> bool:
    """Return whether a signal is that of a W&B agent, which stops a run of a sweep early."""
    return signum == signal.SIGTERM and bool(os.environ.get("WANDB_SWEEP_ID"))


def reason_offline(source: str) -> str | None:
    """Return why W&B cannot be used online, as far as is known without a network; else None.

    Args:
        source: The part of the program that asks for the API key, which W&B names in messages.
    """
    import wandb

    settings = wandb.setup().settings
    if settings.mode != "online":  # WANDB_MODE, or `wandb offline` was run
        return f"W&B is {settings.mode}"
    return _authentication_problem(settings.base_url, source)


def _resolve_mode(mode: str) -> str:
    """Resolve `auto` and `online`: without an API key, wandb would prompt or fail."""
    import wandb

    settings = wandb.setup().settings
    if mode == "auto" and settings.mode != "online":
        return settings.mode
    problem = _authentication_problem(settings.base_url, "OfflineWandbLogger")
    if problem and (mode == "online" or problem != NO_KEY):
        log.warning("W&B: %s; this run stays offline, `wandb sync` sends it later", problem)
    return "offline" if problem else "online"


def _authentication_problem(host: str, source: str) -> str | None:
    """Return why the API key of a host cannot be used; None if it can."""
    import wandb
    from wandb.sdk.lib.wbauth import authenticate_session

    try:
        authenticated = authenticate_session(host=host, source=source, prompt=False)
    except wandb.errors.Error as error:
        return str(error).splitlines()[0]
    return None if authenticated else NO_KEY
