"""What `LearningRateFinder` and `BatchSizeFinder` of Lightning find, in the config of a run."""

import logging
import math
from importlib import import_module
from typing import Any

from jsonargparse import Namespace
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, Callback, LearningRateFinder
from lightning.pytorch.tuner.lr_finder import _determine_lr_attr_name

from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.core.task import DEFAULT_OPTIMIZER, Task
from rnn_lab.errors import UserError

FINDERS = (LearningRateFinder, BatchSizeFinder)
MIN_DECREASE = 0.01  # of the loss at rates above the suggested one, relative to it
LR_NAMES = ("lr", "learning_rate")  # of attributes that Lightning looks for

log = logging.getLogger("rnn_lab")


def check_finders(trainer: Trainer, model: LightningModule, data: Any) -> None:
    """Check that what the finders of a Trainer search has an effect.

    Raises:
        UserError: If it has none.
    """
    for finder in _finders(trainer):
        if isinstance(finder, LearningRateFinder):
            try:
                _determine_lr_attr_name(model, finder._attr_name)
            except AttributeError as error:
                raise UserError(f"LearningRateFinder: {error}") from error
        elif isinstance(data, LabDataModule) and data.batch_tokens is not None:
            raise UserError(
                "BatchSizeFinder has no effect, because --data.batch_tokens replaces batch_size: "
                "set --data.batch_tokens=null or remove the callback"
            )


def check_search(trainer: Trainer) -> None:
    """Check that the run has enough steps for the search of a learning rate.

    Lightning ends a search with the epochs of the run, and would suggest a rate from its start.

    Raises:
        UserError: If it has not.
    """
    finders = [each for each in _finders(trainer) if isinstance(each, LearningRateFinder)]
    if not finders or trainer.max_epochs in (None, -1):
        return
    trainer.fit_loop.setup_data()
    batches = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
    steps = batches * (trainer.max_epochs or 0)
    for needed in (each._num_training_steps for each in finders):
        if steps < needed:
            raise UserError(
                f"LearningRateFinder needs {needed} steps, but {trainer.max_epochs} epochs have "
                f"{steps}: set --trainer.callbacks.num_training_steps={steps}, or a larger "
                "--trainer.max_epochs"
            )


def record_found(config: Any, trainer: Trainer, model: LightningModule) -> bool:
    """Log what the finders of a Trainer found, and write it into the config in their place.

    Args:
        config: Config of `fit`.
        trainer: The Trainer, whose finders have run.
        model: The model.

    Returns:
        Whether the config was changed.
    """
    finders = _finders(trainer)
    for finder in finders:
        if isinstance(finder, LearningRateFinder):
            _record_lr(config, finder, model)
        else:
            _record_batch_size(config, finder)
    _remove_finders(config)
    return bool(finders)


def reuse_found(config: Any, checkpoint: Checkpoint) -> None:
    """Let a resumed run keep what its finders found, instead of searching again.

    Args:
        config: Config of `fit`.
        checkpoint: The checkpoint to resume from, which stores the values.
    """
    removed, model = _remove_finders(config), checkpoint.model["init_args"]
    if any(issubclass(cls, LearningRateFinder) for cls in removed):
        for name in LR_NAMES:
            _copy(name, model, config.model)
        optimizer, requested = model.get("optimizer"), config.model.init_args.get("optimizer")
        if optimizer and (requested is None or requested.class_path == optimizer["class_path"]):
            _set_lr(config, optimizer["init_args"]["lr"])
    if any(issubclass(cls, BatchSizeFinder) for cls in removed):
        _copy("batch_size", model, config.model)
        _copy("batch_size", checkpoint.data["init_args"], config.data)


def _finders(trainer: Trainer) -> list[LearningRateFinder | BatchSizeFinder]:
    callbacks: list[Callback] = vars(trainer)["callbacks"]
    return [each for each in callbacks if isinstance(each, FINDERS)]


def _remove_finders(config: Any) -> list[type]:
    """Remove the finders from the callbacks of a config; return their classes."""
    given = config.trainer.callbacks
    specs = given if isinstance(given, list) else [given] if given else []
    classes = [_class_of(spec.class_path) for spec in specs]
    if not any(issubclass(cls, FINDERS) for cls in classes):
        return []
    pairs = zip(specs, classes, strict=True)
    config.trainer.callbacks = [spec for spec, cls in pairs if not issubclass(cls, FINDERS)] or None
    return [cls for cls in classes if issubclass(cls, FINDERS)]


def _class_of(class_path: str) -> type:
    module, _, name = class_path.rpartition(".")
    return getattr(import_module(module), name)


def _record_lr(config: Any, finder: LearningRateFinder, model: LightningModule) -> None:
    search = finder.optimal_lr
    lr = search.suggestion() if search else None
    if search is None or lr is None:
        log.warning("LearningRateFinder found no learning rate: the rate of the optimizer is used")
        return
    unused = "" if finder._update_attr else ", which is not used (update_attr=false)"
    log.info("LearningRateFinder: learning rate %.3g%s", lr, unused)
    losses = search.results["loss"][search._optimal_idx :]
    if min(losses) > (1 - MIN_DECREASE) * losses[0]:
        log.warning(
            "higher rates lowered the loss by less than %.0f %%, so the learning rate is not "
            "reliable: search with a larger min_lr or with more num_training_steps",
            100 * MIN_DECREASE,
        )
    if not finder._update_attr:
        return
    name = _determine_lr_attr_name(model, finder._attr_name)
    if name in config.model.init_args:
        config.model.init_args[name] = lr
    elif isinstance(model, Task):
        _set_lr(config, lr)


def _set_lr(config: Any, lr: float) -> None:
    optimizer = config.model.init_args.get("optimizer")
    if optimizer is None:
        optimizer = Namespace(class_path=DEFAULT_OPTIMIZER, init_args=Namespace())
    optimizer.init_args.lr = lr
    config.model.init_args.optimizer = optimizer


def _record_batch_size(config: Any, finder: BatchSizeFinder) -> None:
    log.info("BatchSizeFinder: batch size %d", finder.optimal_batch_size)
    for section in (config.model, config.data):
        if finder._batch_arg_name in section.init_args:
            section.init_args[finder._batch_arg_name] = finder.optimal_batch_size


def _copy(name: str, stored: dict[str, Any], section: Any) -> None:
    """Copy an argument of a checkpoint into a section of a config that has it."""
    if name in stored and name in section.init_args:
        section.init_args[name] = stored[name]
