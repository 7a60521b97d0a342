"""`rnn-lab average`: one checkpoint from the weights of several of one training."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jsonargparse import ArgumentParser

from rnn_lab.commands._parsing import OneLineErrors
from rnn_lab.core.checkpoint import contents, saved
from rnn_lab.errors import UserError


class AverageParser(OneLineErrors, ArgumentParser):
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
    first = saved(paths[0])
    for path in paths[1:]:
        other = saved(path)
        for what in ("model", "data"):
            if other.get(what) != first.get(what):
                raise UserError(f"{path} is of another {what} than {paths[0]}")
    weights = [contents(path)["state_dict"] for path in paths]
    shapes = [{name: value.shape for name, value in each.items()} for each in weights]
    for path, found in zip(paths, shapes, strict=True):
        if found != shapes[0]:
            raise UserError(f"the weights of {path} are of other sizes than those of {paths[0]}")
    mean = contents(paths[0])
    for key in ("optimizer_states", "lr_schedulers", "callbacks"):
        mean.pop(key, None)
    mean["rnn_lab"].pop("calibration", None)  # intervals of the first one's errors
    mean["state_dict"] = _mean(weights)
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
