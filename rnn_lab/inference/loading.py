"""From a checkpoint to a predictor."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch

from rnn_lab.data.module import saved
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
from rnn_lab.models import Translator


def load(path: str, device: str = "cpu", *, ensemble: Sequence[str] = ()) -> Any:
    """Build a task again from a checkpoint, ready to answer raw text.

    Only load checkpoints that you trust: the class that a checkpoint names is imported.

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
        UserError: If it is not a checkpoint of this project, or does not say how raw text or
            series are read.
    """
    recipe = saved(path)
    data = recipe.get("data", {})
    reader = data.get("reader", {})
    if ensemble and "source" not in reader:
        raise UserError(f"{path} is of a {_name(recipe['model'])}: only translators go together")
    if not {"series", "input_dim", "reader"} & data.keys():
        raise UserError(_unanswered(path, recipe))
    task = restored(path).to(device).eval()
    if "series" in data:
        return ForecastPredictor(
            task, SeriesReader.from_state_dict(data["series"]), task.calibration
        )
    if "input_dim" in data:
        return SeriesPredictor(task, _scaler(data), data["labels"])
    if "source" in reader:
        task.partners = partners_of(path, ensemble)
        return TranslationPredictor(task, PairReader.from_state_dict(reader))
    if "stream" in reader:
        return LanguagePredictor(task, StreamReader.from_state_dict(reader["stream"]))
    return TextPredictor(task, TextReader.from_state_dict(reader), data["labels"])


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
    """Build the task of a checkpoint with its weights, on the CPU."""
    task = build(saved(path)["model"])
    content = torch.load(path, map_location="cpu", weights_only=True)
    task.load_state_dict(content["state_dict"])
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


def build(recipe: dict[str, Any]) -> Any:
    """Build the task that a checkpoint describes, with first weights.

    Raises:
        UserError: If there is no such class here, or it does not take the arguments.
    """
    module, _, name = recipe["class_path"].rpartition(".")
    arguments = {
        k: v for k, v in recipe["init_args"].items() if k not in ("optimizer", "scheduler")
    }
    try:
        return getattr(import_module(module), name)(**arguments)
    except (ImportError, AttributeError, TypeError) as error:
        raise UserError(
            f"the checkpoint's {recipe['class_path']} cannot be built: {error}"
        ) from error


def _name(recipe: dict[str, Any]) -> str:
    return recipe["class_path"].rpartition(".")[2]
