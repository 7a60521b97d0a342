"""From a checkpoint to a predictor."""

from collections.abc import Sequence, Sized
from functools import partial
from typing import Any

import torch

from rnn_lab.checkpoint import contents, revived, saved
from rnn_lab.class_paths import named_class
from rnn_lab.data.sentences import PairReader
from rnn_lab.data.series import SeriesScaler
from rnn_lab.data.series_reader import SeriesReader
from rnn_lab.data.stream import StreamReader
from rnn_lab.data.vocabulary import TextReader
from rnn_lab.errors import UserError
from rnn_lab.inference.forecasts import ForecastPredictor
from rnn_lab.inference.language import LanguagePredictor
from rnn_lab.inference.series import SeriesPredictor
from rnn_lab.inference.texts import TextPredictor
from rnn_lab.inference.translations import TranslationPredictor
from rnn_lab.metrics.forecasting import Calibration
from rnn_lab.models import Task, Translator


def load(path: str, device: str = "cpu", *, ensemble: Sequence[str] = ()) -> Any:
    """Build a task again from a checkpoint, ready to answer raw text.

    Nothing in a checkpoint is run. The class that it names is imported, and must be ours, loaded
    already, or of a package that the environment variable `RNN_LAB_ALLOW` names.

    Args:
        path: A checkpoint that says how raw text or series are read.
        device: Where to compute, such as `cuda:0`.
        ensemble: Checkpoints of further translators of the same vocabulary, whose probabilities
            are averaged with those of the first.

    Returns:
        A `TextPredictor`, of a translator a `TranslationPredictor`, of a forecaster a
        `ForecastPredictor`, of a classifier of series a `SeriesPredictor`, of a language model a
        `LanguagePredictor`.

    Raises:
        UserError: If it is not a checkpoint of this project, is damaged, names a class that it
            may not name, or does not say how raw text or series are read.
    """
    recipe = saved(path)
    data = recipe.get("data", {})
    reader = data.get("reader", {})
    if ensemble and "source" not in reader:
        raise UserError(f"{path} is of a {_name(recipe['model'])}: only translators go together")
    if not {"series", "input_dim", "reader"} & data.keys():
        raise UserError(_unanswered(path, recipe))
    task = restored(path).to(device).eval()
    if "source" in reader:
        task.partners = partners_of(path, ensemble)
    return revived(path, partial(_predictor, task), data)


def _predictor(task: Any, data: dict[str, Any]) -> Any:
    """Put a task together with what its checkpoint says of raw input."""
    if "series" in data:
        series = SeriesReader.from_state_dict(data["series"])
        steps = {"input_length": range(series.input_length), "horizon": range(series.horizon)}
        _check_sizes(task, **steps)
        return ForecastPredictor(task, series, _calibration(task, series))
    if "input_dim" in data:
        scaler = _scaler(data)
        for each in (scaler.mean, scaler.deviation):
            _check_sizes(task, input_dim=each, num_classes=data["labels"])
        return SeriesPredictor(task, scaler, data["labels"])
    reader: Any
    if "source" in data["reader"]:
        reader = PairReader.from_state_dict(data["reader"])
        _check_sizes(task, src_vocab_size=reader.source, trg_vocab_size=reader.target)
        return TranslationPredictor(task, reader)
    if "stream" in data["reader"]:
        reader = StreamReader.from_state_dict(data["reader"]["stream"])
        _check_sizes(task, vocab_size=reader)
        return LanguagePredictor(task, reader)
    reader = TextReader.from_state_dict(data["reader"])
    _check_sizes(task, vocab_size=reader, num_classes=data["labels"])
    return TextPredictor(task, reader, data["labels"])


def _calibration(task: Any, series: SeriesReader) -> Any:
    """The errors of the last validation, if there are any."""
    found = task.calibration
    if found is None:
        return None
    wanted = Calibration(series.horizon, len(series.targets)).histogram
    if not torch.is_tensor(found) or (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
        raise UserError("the errors in validation are of other sizes")
    return found


def _check_sizes(task: Any, **known: Sized) -> None:
    for name, found in known.items():
        if task.hparams.get(name, len(found)) != len(found):
            raise UserError(f"{name} is {task.hparams[name]}, and {len(found)} are known")


def _unanswered(path: str, recipe: dict[str, Any]) -> str:
    """Say why a checkpoint does not answer raw input, and what measures it."""
    if "data" not in recipe:
        return f"{path} was trained without a data module: it does not say how raw input is read"
    model, source = _name(recipe["model"]), _name(recipe["data"])
    return (
        f"{path} is of a {model}, which reads tensors as {source} makes them, no raw text or "
        f"series: measure it by `rnn-lab test --ckpt_path={path}`"
    )


def _scaler(data: dict[str, Any]) -> SeriesScaler:
    """How values were scaled; generated ones are not."""
    if "scaler" not in data:
        return SeriesScaler.identity(data["input_dim"])
    return SeriesScaler.from_state_dict(data["scaler"])


def restored(path: str) -> Any:
    """Build the task of a checkpoint with its weights, on the CPU.

    Raises:
        UserError: If it cannot be built, or the weights are of another shape.
    """
    content = contents(path)
    task = build(content["rnn_lab"]["model"], path)
    try:
        task.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        raise UserError(f"the weights of {path} are of other sizes: {error}") from error
    task.on_load_checkpoint(content)
    return task


def partners_of(path: str, others: Sequence[str]) -> list[Translator]:
    """Build the translators that go with the one of a checkpoint in an ensemble.

    Raises:
        UserError: If one reads or writes other words, or does not translate.
    """
    wanted = saved(path).get("data", {}).get("reader")
    for other in others:
        found = saved(other).get("data", {}).get("reader")
        if found is None or "source" not in found or found != wanted:
            raise UserError(f"{other} is no translator with the vocabulary of {path}")
    return [restored(other).eval() for other in others]


def build(recipe: dict[str, Any], source: str = "the checkpoint") -> Any:
    """Build the task that a checkpoint describes, with first weights.

    Args:
        recipe: Its class path and arguments.
        source: The checkpoint, for messages.

    Raises:
        UserError: If there is no such class here, it may not be named, or does not take the
            arguments.
    """
    cls = named_class(recipe["class_path"], source)
    if not (isinstance(cls, type) and issubclass(cls, Task)):
        raise UserError(f"{source} names {recipe['class_path']}, which is no model of ours")
    arguments = {
        k: v for k, v in recipe["init_args"].items() if k not in ("optimizer", "scheduler")
    }
    try:
        return cls(**arguments)
    except UserError:
        raise
    except Exception as error:  # of any kind: the values are anybody's
        raise UserError(f"the {cls.__name__} of {source} cannot be built: {error}") from error


def _name(recipe: dict[str, Any]) -> str:
    return recipe["class_path"].rpartition(".")[2]
