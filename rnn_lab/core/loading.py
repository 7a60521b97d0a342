"""Load tasks and predictors from checkpoints."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch.nn.modules import module as hooks

from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.predictor import Predictor
from rnn_lab.core.task import Task
from rnn_lab.core.trusted_imports import import_trusted_class
from rnn_lab.errors import UserError

MAX_PARTS_PER_WEIGHT = 16  # submodules and parameters of a model, most of which have no weights


def load(path: str, device: str = "cpu", *, ensemble: Sequence[str] = ()) -> Any:
    """Load the predictor of a checkpoint, ready for inference on raw input.

    No code in the checkpoint is executed. The classes that it names are imported, and must belong
    to this package, be loaded already, or belong to a package that the environment variable
    `RNN_LAB_ALLOW` names.

    Args:
        path: Path of a checkpoint that stores its data module.
        device: Device for inference, such as `cuda:0`.
        ensemble: Paths of checkpoints of further models with the same vocabulary, whose
            probabilities are averaged with those of the first, if the task supports ensembles.

    Returns:
        The predictor that the task names: `TextPredictor` for a text classifier,
        `TranslationPredictor` for a translator, `ForecastPredictor` for a forecaster,
        `SequencePredictor` for a sequence classifier, `LanguagePredictor` for a language model.

    Raises:
        UserError: If the file is not a checkpoint of this project, is damaged, names a class that
            it is not allowed to name, stores no data module, or its task supports no ensemble.
    """
    checkpoint = Checkpoint.open(path)
    predictor_type = predictor_class(checkpoint)
    task = load_task(checkpoint).to(device).eval()
    if not isinstance(task, predictor_type.task_type):
        raise UserError(
            f"{path} was saved by {type(task).__name__}, whose predictor "
            f"{predictor_type.__name__} accepts only {predictor_type.task_type.__doc__}"
        )
    predictor = checkpoint.restore(partial(predictor_type.from_checkpoint, task), checkpoint.data)
    if ensemble:
        predictor.add_ensemble(checkpoint, ensemble)
    return predictor


def predictor_class(checkpoint: Checkpoint) -> type[Predictor]:
    """Import the predictor class that the task of a checkpoint names.

    Raises:
        UserError: If the checkpoint was trained without a data module, or its task names no
            predictor.
    """
    data_name = checkpoint.data["class_path"].rpartition(".")[2]
    task = import_trusted_class(checkpoint.model["class_path"], checkpoint.path)
    if not issubclass(task, Task):
        raise UserError(
            f"{checkpoint.path} was saved by {task.__name__}, a plain LightningModule: only a Task "
            "(rnn_lab.Task) names a predictor for raw input"
        )
    if task.predictor is None:
        raise UserError(
            f"{checkpoint.path} was saved by {task.__name__} with {data_name}, and "
            f"{task.__name__}.predictor names no class that reads raw input: evaluate it with "
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
        UserError: If the task cannot be built, or the weights do not match or are not finite.
    """
    check_sizes(checkpoint)
    task = instantiate_task(checkpoint.model, checkpoint.path)
    load_weights(task, checkpoint)
    task.on_load_checkpoint(checkpoint.content)
    return task


def check_sizes(checkpoint: Checkpoint) -> None:
    """Check that the sizes of a task match the stored weights, before memory is allocated for it.

    The task is built on the meta device, where a parameter has a shape but no values. The sizes of
    a plain `LightningModule`, which only its user's code defines, are not checked.

    Raises:
        UserError: If the task cannot be built, or names, shapes or number of its weights differ
            from those that are stored.
    """
    weights, spec, path = checkpoint.weights, checkpoint.model, checkpoint.path
    if not issubclass(import_trusted_class(spec["class_path"], path), Task):
        return
    _check_layers(spec["init_args"], len(weights), path)
    with torch.device("meta"), _limited_parts(MAX_PARTS_PER_WEIGHT * (len(weights) + 8), path):
        task = instantiate_task(spec, path)
    _copy(task, {name: value.to("meta") for name, value in weights.items()}, path)
    stored = sum(value.nbytes for value in weights.values())
    if sum(value.nbytes for value in (*task.parameters(), *task.buffers())) > 4 * stored + 2**26:
        raise UserError(f"{type(task).__name__} of {path} is larger than the stored weights")


def _check_layers(arguments: Any, num_weights: int, path: str) -> None:
    """Check that numbers of layers, also in groups of options, do not exceed the stored weights."""
    for name, value in arguments.items():
        if isinstance(value, dict):
            _check_layers(value, num_weights, path)
        is_number = isinstance(value, int) and str(name).endswith("layers")
        if is_number and value > MAX_PARTS_PER_WEIGHT * (num_weights + 8):
            raise UserError(f"{name} of {path} is {value}, but it stores {num_weights} weights")


@contextmanager
def _limited_parts(limit: int, path: str) -> Iterator[None]:
    """Refuse to build a task with too many parameters and submodules."""
    count = 0

    def check(*_: Any) -> None:
        nonlocal count
        count += 1
        if count > limit:
            raise UserError(f"the model of {path} has more parts than its weights allow")

    handles = [
        hooks.register_module_module_registration_hook(check),
        hooks.register_module_parameter_registration_hook(check),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def load_weights(task: Any, checkpoint: Checkpoint) -> None:
    """Copy the weights of a checkpoint into a task.

    Raises:
        UserError: If names, shapes or kinds of the weights do not match, or weights are not finite.
    """
    _check_values(task, checkpoint)
    _copy(task, checkpoint.weights, checkpoint.path)


def _copy(task: Any, weights: dict[str, torch.Tensor], path: str) -> None:
    try:
        task.load_state_dict(weights)
    except Exception as error:  # the names are untrusted and can raise any exception
        first, *others = str(error).splitlines()[1:] or [str(error)]
        more = f" (and {len(others)} more differences)" if others else ""
        raise UserError(f"the weights of {path} do not match: {first.strip()}{more}") from error


def _check_values(task: Any, checkpoint: Checkpoint) -> None:
    """Check the kinds and values of weights; only buffers, such as masks, may be infinite."""
    parameters = dict(task.named_parameters(remove_duplicate=False))
    for name, target in task.state_dict().items():
        value = checkpoint.weights.get(name)
        if value is None:
            continue
        if (value.is_floating_point(), value.is_complex()) != (
            target.is_floating_point(),
            target.is_complex(),
        ):
            raise UserError(
                f"{name} of {checkpoint.path} is {value.dtype}, but {type(task).__name__} needs "
                f"{target.dtype}"
            )
        # A sum is finite only if all values are finite, and is faster than comparing them.
        if value.is_floating_point() and not value.sum().isfinite():
            finite = value.isfinite() if name in parameters else ~value.isnan()
            if not finite.all():
                raise UserError(
                    f"{name} of {checkpoint.path} has weights that are not finite: the training "
                    "diverged, use an earlier checkpoint"
                )


def instantiate_task(spec: dict[str, Any], source: str = "the checkpoint") -> Any:
    """Build a task from its specification, with initial weights.

    Args:
        spec: Class path and arguments of the task.
        source: Name of the checkpoint, for error messages.

    Raises:
        UserError: If the class does not exist, must not be imported, or refuses the arguments.
    """
    cls = task_class(spec, source)
    arguments = {k: v for k, v in spec["init_args"].items() if k not in ("optimizer", "scheduler")}
    try:
        return cls(**arguments)
    except UserError:
        raise
    except Exception as error:  # the values are untrusted and can raise any exception
        raise UserError(f"the {cls.__name__} of {source} cannot be built: {error}") from error


def task_class(spec: dict[str, Any], source: str) -> type[Task]:
    """Import the class of a task specification.

    Raises:
        UserError: If the class does not exist, must not be imported, or is not a task.
    """
    cls = import_trusted_class(spec["class_path"], source)
    if not (isinstance(cls, type) and issubclass(cls, Task)):
        raise UserError(f"{source} names {spec['class_path']}, which is not a model of rnn_lab")
    return cls
