"""The callbacks and plugins that the commands add to a Trainer."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import Callback

from rnn_lab import training


def with_standard_callbacks(
    callbacks: Iterable[Callback], config: Mapping[str, Any]
) -> list[Callback]:
    """Add the standard callbacks, and remove those that the arguments of the Trainer rule out.

    Args:
        callbacks: Callbacks with options of their own, such as early stopping.
        config: Arguments of the Trainer.
    """
    chosen = list(callbacks)
    if config["enable_checkpointing"] is False or config["fast_dev_run"]:
        chosen = without(training.BestCheckpoint, chosen)
    if config["enable_progress_bar"] is not False:
        chosen.append(training.BatchProgressBar())
    chosen += [training.EpochNumber(), training.GradNormAndLRMonitor(), training.TerminateOnNaN()]
    chosen.append(training.SmallDataWarning())
    chosen += [training.RNGStateCheckpoint(), training.ResumeMidEpoch(), training.KernelRecord()]
    chosen += [training.AccumulatedGradients(), training.ResumeSWA(), training.SWACheckpoint()]
    return [*chosen, training.ResumePlateau(), training.SkipUnusedHooks()]


def without(
    kind: type[Callback] | tuple[type[Callback], ...], callbacks: Iterable[Callback]
) -> list[Callback]:
    """Return the callbacks that are not of a class, or of one of several classes."""
    return [callback for callback in callbacks if not isinstance(callback, kind)]


def with_checkpoint_io(plugins: Any, create: Callable[[], CheckpointIO]) -> list[Any]:
    """Add the plugin that reads and writes checkpoints, unless the user gives one.

    Args:
        plugins: Plugins of the Trainer: None, one, or a list.
        create: Creates the plugin.
    """
    given = plugins if isinstance(plugins, list) else [plugins] if plugins else []
    if any(isinstance(plugin, CheckpointIO) for plugin in given):
        return given
    return [*given, create()]
