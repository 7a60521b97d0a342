"""From a checkpoint to a task, and to the predictor that answers raw input with it."""

from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Any

from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.predictor import Predictor
from rnn_lab.core.task import Task
from rnn_lab.core.trusted_imports import import_trusted_class
from rnn_lab.errors import UserError


def load(path: str, device: str = "cpu", *, ensemble: Sequence[str] = ()) -> Any:
    """Build a task again from a checkpoint, ready to answer raw input.

    Nothing in a checkpoint is run. The class that it names is imported, and must be ours, loaded
    already, or of a package that the environment variable `RNN_LAB_ALLOW` names.

    Args:
        path: A checkpoint that says how raw input is read.
        device: Where to compute, such as `cuda:0`.
        ensemble: Checkpoints of further models of the same vocabulary, whose probabilities are
            averaged with those of the first, where the task supports that.

    Returns:
        The predictor that the task names: of a text classifier a `TextPredictor`, of a translator a
        `TranslationPredictor`, of a forecaster a `ForecastPredictor`, of a sequence classifier a
        `SequencePredictor`, of a language model a `LanguagePredictor`.

    Raises:
        UserError: If it is not a checkpoint of this project, is damaged, names a class that it
            may not name, does not say how raw input is read, or does not support an ensemble.
    """
    checkpoint = Checkpoint.open(path)
    kind = predictor_class(checkpoint)
    task = load_task(checkpoint).to(device).eval()
    predictor = checkpoint.restore(partial(kind.from_checkpoint, task), checkpoint.data)
    if ensemble:
        predictor.add_ensemble(checkpoint, ensemble)
    return predictor


def predictor_class(checkpoint: Checkpoint) -> type[Predictor]:
    """Import the predictor that the task of a checkpoint names.

    Raises:
        UserError: If the checkpoint was trained without a data module, or its task names none.
    """
    source = checkpoint.data["class_path"].rpartition(".")[2]
    task = import_trusted_class(checkpoint.model["class_path"], checkpoint.path)
    if not issubclass(task, Task):
        raise UserError(
            f"{checkpoint.path} is of a {task.__name__}, a plain LightningModule: only a Task "
            "(rnn_lab.Task) names a predictor that answers raw input"
        )
    if task.predictor is None:
        raise UserError(
            f"{checkpoint.path} is of a {task.__name__}, which reads tensors as {source} makes "
            "them, no raw text or series: measure it by "
            f"`rnn-lab test --ckpt_path={checkpoint.path}`"
        )
    module, _, name = task.predictor.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"the predictor {task.predictor} of {task.__name__} cannot be imported: {error}"
        ) from error


def load_task(checkpoint: Checkpoint) -> Any:
    """Build the task of a checkpoint with its weights, on the CPU.

    Raises:
        UserError: If it cannot be built, or the weights have other shapes.
    """
    task = instantiate_task(checkpoint.model, checkpoint.path)
    load_weights(task, checkpoint)
    task.on_load_checkpoint(checkpoint.content)
    return task


def load_weights(task: Task, checkpoint: Checkpoint) -> None:
    """Copy the weights of a checkpoint into a task.

    Raises:
        UserError: If they have other shapes.
    """
    try:
        task.load_state_dict(checkpoint.weights)
    except RuntimeError as error:
        raise UserError(f"the weights of {checkpoint.path} are of other sizes: {error}") from error


def instantiate_task(spec: dict[str, Any], source: str = "the checkpoint") -> Any:
    """Build the task that a checkpoint describes, with first weights.

    Args:
        spec: Its class path and arguments.
        source: The checkpoint, for messages.

    Raises:
        UserError: If there is no such class here, it may not be named, or does not take the
            arguments.
    """
    cls = task_class(spec, source)
    arguments = {k: v for k, v in spec["init_args"].items() if k not in ("optimizer", "scheduler")}
    try:
        return cls(**arguments)
    except UserError:
        raise
    except Exception as error:  # of any kind: the values are anybody's
        raise UserError(f"the {cls.__name__} of {source} cannot be built: {error}") from error


def task_class(spec: dict[str, Any], source: str) -> type[Task]:
    """Import the class of the task that a checkpoint describes.

    Raises:
        UserError: If there is no such class here, it may not be named, or is no task.
    """
    cls = import_trusted_class(spec["class_path"], source)
    if not (isinstance(cls, type) and issubclass(cls, Task)):
        raise UserError(f"{source} names {spec['class_path']}, which is no model of ours")
    return cls
