"""The command `rnn-lab`: finds the subcommand, and loads no more than that one needs."""

import difflib
import os
import sys
from collections.abc import Sequence

from rnn_lab import __version__, signals
from rnn_lab.errors import UserError

COMMANDS = {
    "fit": "train a model on data",
    "submit": "train on a SLURM cluster, one run or an array of them",
    "status": "show which runs there are and how they are doing",
    "validate": "measure a checkpoint on the validation split",
    "test": "measure a checkpoint on the test split",
    "predict": "answer raw input with a checkpoint",
    "backtest": "forecast from every origin of the test split, next to baselines",
    "translate": "translate what is typed, line by line",
    "generate": "continue a text by a language model",
    "average": "average the weights of several checkpoints",
    "list": "show architectures, layers, datasets and configs",
}


def main(args: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Args:
        args: Words of the command line after the program's name.

    Returns:
        The exit status: 0, 1 for a mistake in what the user gave, 2 for one in the command line,
        130 when interrupted, 128 and its number when left because of another signal.
    """
    words = list(sys.argv[1:] if args is None else args)
    try:
        return _run(words[:1], words[1:])
    except UserError as error:
        if os.environ.get("RNN_LAB_DEBUG"):
            raise
        if not _number("LOCAL_RANK", "SLURM_LOCALID"):  # others here have met the same mistake
            _tell(" ".join(str(error).split()))
        return 1
    except KeyboardInterrupt:
        _tell("interrupted")
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _tell(line: str) -> None:
    print(f"rnn-lab: {line}", file=sys.stderr, flush=True)


def _number(*names: str) -> int:
    """Number of this process, by the first of these variables that is set."""
    return next((int(os.environ[name]) for name in names if name in os.environ), 0)


def _run(command: list[str], options: list[str]) -> int:
    match command:
        case [] | ["-h"] | ["--help"] | ["help"]:
            print(usage())
        case ["--version"]:
            print(f"rnn-lab {__version__}")
        case ["list"]:
            from rnn_lab.commands import list as command_list

            command_list.main(options)
        case ["submit"]:
            from rnn_lab.commands import submit

            submit.main(options)
        case ["status"]:
            from rnn_lab.commands import status

            status.main(options)
        case ["predict"]:
            from rnn_lab.commands import predict

            predict.main(options)
        case ["translate"]:
            from rnn_lab.commands import translate

            translate.main(options)
        case ["generate"]:
            from rnn_lab.commands import generate

            generate.main(options)
        case ["average"]:
            from rnn_lab.commands import average

            average.main(options)
        case ["backtest"]:
            from rnn_lab.commands import backtest

            backtest.main(options)
        case ["fit" | "validate" | "test"]:
            return _trained([*command, *options])
        case [word]:
            near = difflib.get_close_matches(word, COMMANDS, 1)
            wish = f"did you mean {near[0]}?" if near else f"known are {', '.join(COMMANDS)}"
            _tell(f"{word!r} is not a command: {wish}")
            return 2
    return 0


def _trained(words: list[str]) -> int:
    """Train or measure, and leave when a signal asks for it."""
    with signals.heeded():
        try:
            from rnn_lab.commands import _cli

            _cli.main(words)
        except signals.Preempted as left:
            if _number("RANK", "SLURM_PROCID", "LOCAL_RANK"):
                return 0  # else Lightning kills the first process, whose status counts
            from rnn_lab.training import slurm

            _tell(str(left))
            slurm.requeue(_tell)
            return 128 + left.signum
    return 0


def usage() -> str:
    """Write the overview that `rnn-lab --help` prints."""
    from rnn_lab.commands.list import architectures, datasets, table

    parts = [
        "usage: rnn-lab COMMAND [OPTIONS]",
        "commands (`rnn-lab COMMAND --help` shows their options):\n" + table(COMMANDS.items()),
        "architectures, for --model:\n" + table(architectures()),
        "data, for --data:\n" + table(datasets()),
        "first run: rnn-lab fit --model=LSTMClassifier --data=SyntheticReviews --test=true",
    ]
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
