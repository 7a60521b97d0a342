"""From a checkpoint to a predictor."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch

from rnn_lab.data.module import saved
from rnn_lab.data.sentences import PairReader
from rnn_lab.data.vocabulary import TextReader
from rnn_lab.errors import UserError
from rnn_lab.inference.predictor import Predictor
from rnn_lab.inference.texts import TextPredictor
from rnn_lab.inference.translations import TranslationPredictor
from rnn_lab.models import Translator


def load(path: str, device: str = "cpu", *, ensemble: Sequence[str] = ()) -> Predictor:
    """Build a task again from a checkpoint, ready to answer raw text.

    Only load checkpoints that you trust: the class that a checkpoint names is imported.

    Args:
        path: A checkpoint of a model that reads text.
        device: Where to compute, such as `cuda:0`.
        ensemble: Checkpoints of further translators of the same vocabulary, whose probabilities
            are averaged with those of the first.

    Returns:
        A `TextPredictor`, or of a translator a `TranslationPredictor`.

    Raises:
        UserError: If it is not a checkpoint of this project, or its model reads no text.
    """
    recipe = saved(path)
    data = recipe.get("data", {})
    if "reader" not in data:
        raise UserError(f"{path} is of a {_name(recipe['model'])}, which reads no text")
    task = restored(path).to(device).eval()
    if "source" in data["reader"]:
        task.partners = partners_of(path, ensemble)
        return TranslationPredictor(task, PairReader.from_state_dict(data["reader"]))
    if ensemble:
        raise UserError(f"{path} is of a {_name(recipe['model'])}: only translators go together")
    return TextPredictor(task, TextReader.from_state_dict(data["reader"]), data["labels"])


def restored(path: str) -> Any:
    """Build the task of a checkpoint with its weights, on the CPU."""
    task = build(saved(path)["model"])
    task.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["state_dict"])
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
