"""Options of the commands that compare runs, and the folders that they are given."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from rnn_lab.errors import UserError
from rnn_lab.io.run_files import ROOT, runs_below


def add_comparison_options(parser: ArgumentParser) -> None:
    """Add the folders of runs, and options of their comparison."""
    parser.add_argument(
        "folders", nargs="*", metavar="FOLDER", help="runs, or folders of runs (default: runs)"
    )
    parser.add_argument(
        "--by",
        nargs="+",
        default=[],
        metavar="OPTION",
        help="options whose values are compared, such as model.layer (default: all that differ)",
    )
    parser.add_argument(
        "--metric", help="score of the test, such as test/f1 (default: that of the task)"
    )
    parser.add_argument(
        "--against", metavar="VALUE", help="value from which the others differ, with intervals"
    )
    parser.add_argument(
        "--confidence",
        type=float,
        default=0.95,
        help="coverage of the intervals of differences (default: 0.95)",
    )


def run_folders(args: Namespace, least: int) -> list[Path]:
    """Return the folders of the runs that are given, or below them, and check the confidence.

    Args:
        args: Options of the command.
        least: Number of runs that it needs.

    Raises:
        UserError: If there are fewer, a folder does not exist, or the confidence is no probability.
    """
    if not 0 < args.confidence < 1:
        raise UserError(f"--confidence must be between 0 and 1, got {args.confidence}")
    given = [Path(folder) for folder in args.folders or [ROOT]]
    for folder in given:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder")
    folders = _below(given)
    if len(folders) < least:
        where = ", ".join(map(str, given))
        if least == 1:
            raise UserError(f"there is no run in {where}")
        raise UserError(f"a comparison needs at least {least} runs, {where} has {len(folders)}")
    return folders


def _below(given: Sequence[Path]) -> list[Path]:
    return list(dict.fromkeys(run for root in given for run in sorted(runs_below(root))))
