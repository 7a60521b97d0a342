"""Average the weights of several checkpoints."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jsonargparse import ArgumentParser

from rnn_lab.commands._parsing import ConciseErrorsMixin
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.errors import UserError


class AverageParser(ConciseErrorsMixin, ArgumentParser):
    """A parser with errors of one line."""


def main(options: Sequence[str]) -> None:
    """Average the weights of checkpoints.

    Args:
        options: Words of the command line after `average`.

    Raises:
        UserError: If a checkpoint is of another model or vocabulary than the first.
    """
    parser = AverageParser(
        prog="rnn-lab average", description="Average the weights of checkpoints of one training."
    )
    parser.add_argument("checkpoints", type=str, nargs="+", help="two checkpoints or more")
    parser.add_argument("--output", type=str, required=True, help="the checkpoint that is written")
    args = parser.parse_args(list(options))
    average(args.checkpoints, args.output)


def average(paths: Sequence[str], output: str) -> None:
    """Write a checkpoint with the mean of all weights; all else is that of the first.

    It can be tested and asked, and training can start from it (`--init_from`).

    Raises:
        UserError: If there are less than two, they do not fit together, or one would be
            overwritten.
    """
    if len(paths) < 2:
        raise UserError("average takes two checkpoints or more")
    if Path(output).exists():
        raise UserError(f"{output} exists: give another --output")
    first, *others = opened = [Checkpoint.open(path) for path in paths]
    for other in others:
        for what in ("model", "data"):
            if other.content["rnn_lab"][what] != first.content["rnn_lab"][what]:
                raise UserError(f"{other.path} is of another {what} than {first.path}")
    shapes = [{name: value.shape for name, value in each.weights.items()} for each in opened]
    for each, found in zip(opened, shapes, strict=True):
        if found != shapes[0]:
            raise UserError(
                f"the weights of {each.path} are of other sizes than those of {first.path}"
            )
    dropped = ("optimizer_states", "lr_schedulers", "callbacks")
    mean = {key: value for key, value in first.content.items() if key not in dropped}
    # The intervals of the first one's errors are not those of the mean.
    mean["rnn_lab"] = {**mean["rnn_lab"], "calibration": None}
    mean["state_dict"] = _mean([each.weights for each in opened])
    try:
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        torch.save(mean, output)
    except (OSError, RuntimeError) as error:
        raise UserError(f"{output} cannot be written: {error}") from error


def _mean(states: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Average what is a floating number, in double precision; the first decides the rest."""
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(value.dtype)
        if value.is_floating_point()
        else value.clone()
        for name, value in states[0].items()
    }
