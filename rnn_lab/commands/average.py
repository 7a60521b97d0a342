"""Average the weights of several checkpoints.

Examples:
    rnn-lab average a.ckpt b.ckpt --output mean.ckpt
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from rnn_lab.commands._concise_parser import ConciseParser
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.errors import UserError
from rnn_lab.io.atomic import atomic_path


def main(options: Sequence[str]) -> None:
    """Average the weights of checkpoints.

    Args:
        options: Command-line arguments after `average`.

    Raises:
        UserError: If a checkpoint has another model or vocabulary than the first.
    """
    parser = ConciseParser(
        prog="rnn-lab average", description="Average the weights of checkpoints of the same model."
    )
    parser.add_argument("checkpoints", type=str, nargs="+", help="two or more checkpoints")
    parser.add_argument("--output", type=str, required=True, help="checkpoint to write")
    args = parser.parse_args(list(options))
    average(args.checkpoints, args.output)


def average(paths: Sequence[str], output: str) -> None:
    """Write a checkpoint with the mean of all weights and everything else from the first.

    It can be used for testing and inference, and as `--init_from` of a new run.

    Raises:
        UserError: If there are less than two, their models differ, or the output exists.
    """
    if len(paths) < 2:
        raise UserError("average requires at least two checkpoints")
    if Path(output).exists():
        raise UserError(f"{output} exists: give another --output")
    first, *others = checkpoints = [Checkpoint.open(path) for path in paths]
    for other in others:
        for key in ("model", "data"):
            if other.content["rnn_lab"][key] != first.content["rnn_lab"][key]:
                raise UserError(f"{other.path} and {first.path} have different {key} settings")
    for other in others:
        if _shapes(other) != _shapes(first):
            raise UserError(f"shape mismatch between the weights of {other.path} and {first.path}")
    dropped = ("optimizer_states", "lr_schedulers", "callbacks")
    mean = {key: value for key, value in first.content.items() if key not in dropped}
    # The calibration of the first checkpoint is not valid for the mean.
    mean["rnn_lab"] = {**mean["rnn_lab"], "calibration": None}
    mean["state_dict"] = _mean([checkpoint.weights for checkpoint in checkpoints])
    try:
        with atomic_path(Path(output)) as part:
            torch.save(mean, part)
    except (OSError, RuntimeError) as error:
        raise UserError(f"{output} cannot be written: {error}") from error


def _shapes(checkpoint: Checkpoint) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in checkpoint.weights.items()}


def _mean(states: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Average floating-point weights in double precision; take all others from the first."""
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(value.dtype)
        if value.is_floating_point()
        else value.clone()
        for name, value in states[0].items()
    }
