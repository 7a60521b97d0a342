"""Direction of a monitored metric: whether lower or higher values are better."""

from typing import Literal

from lightning import LightningModule

from rnn_lab.core.task import Monitored, Task
from rnn_lab.errors import UserError

Mode = Literal["min", "max"]
COUNTS = ("epoch", "step")  # that every Trainer logs


def mode_of(module: LightningModule, monitor: str, mode: Mode | None, option: str) -> Mode:
    """Return whether lower (`min`) or higher (`max`) values of a metric are better.

    Args:
        module: The module that logs the metric.
        monitor: Name of the metric, `stage/name` of a `Task`.
        mode: The mode that is set; None to determine it.
        option: Name of the option that sets it, for messages.

    Returns:
        The mode that is set, that of the module for the metric that it declares, `min` for a loss,
        or else what torchmetrics states of the metric.

    Raises:
        UserError: If the mode is unknown, or the name has no stage.
    """
    if isinstance(module, Monitored) and monitor == module.monitor:
        return mode or module.mode
    stage, _, name = monitor.rpartition("/")
    if isinstance(module, Task) and not stage and monitor not in COUNTS:
        raise UserError(f"{monitor} is no name of a metric: give its stage, such as val/{monitor}")
    if mode is not None:
        return mode
    if monitor in COUNTS:
        return "max"
    if name.endswith("loss"):
        return "min"
    better = _mode_of_score(module, name) if isinstance(module, Task) else None
    if better is None:
        raise UserError(
            f"whether lower or higher values of {monitor} are better is unknown: set {option} to "
            "min or max"
        )
    return better


def _mode_of_score(task: Task, name: str) -> Mode | None:
    """Return the mode of a score that a task or torchmetrics states; None if neither does."""
    if task.score_modes:  # its metrics are made for the data, which are not known yet
        return task.score_modes.get(name)
    higher = getattr(task.configure_metrics().get(name), "higher_is_better", None)
    return None if higher is None else "max" if higher else "min"
