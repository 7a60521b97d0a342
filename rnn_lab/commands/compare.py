"""Compare tested runs: scores by seed, differences with intervals, costs.

Examples:
    rnn-lab compare runs/TREC --by model.layer --against LSTM
    rnn-lab compare runs/a runs/b --metric test/f1 --format md --plot f1.svg
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rnn_lab.commands._parsing import ConciseErrorsMixin, print_error
from rnn_lab.errors import UserError
from rnn_lab.io.run_files import ROOT, runs_below

if TYPE_CHECKING:
    from rnn_lab.comparison.compare import Comparison

FORMATS = ("table", "md", "csv", "latex")
COSTS = ("seconds", "processor_seconds", "parameters", "peak_memory")


class CompareParser(ConciseErrorsMixin, ArgumentParser):
    """Argument parser of the standard library with concise errors."""


def main(options: Sequence[str]) -> None:
    """Print a table with a row for each value of the options that are compared.

    Args:
        options: Command-line arguments after `compare`.

    Raises:
        UserError: If the runs cannot be compared, or an option, metric or value does not exist.
    """
    args = _parser().parse_args(list(options))
    if not 0 < args.confidence < 1:
        raise UserError(f"--confidence must be between 0 and 1, got {args.confidence}")
    folders = _folders(args)
    from rnn_lab.comparison.compare import compare
    from rnn_lab.comparison.saved_run import read_run
    from rnn_lab.comparison.tables import FORMATS as FORMATTERS

    runs = [read_run(folder) for folder in folders]
    comparison = compare(runs, args.by, args.metric, args.against, args.confidence)
    for warning in comparison.warnings:
        print_error(f"warning: {warning}")
    if args.plot:
        _plot(comparison, args.cost, Path(args.plot))
    sys.stdout.write(FORMATTERS[args.format](comparison))


def _parser() -> CompareParser:
    parser = CompareParser(
        prog="rnn-lab compare",
        description="Compare runs whose test has saved predictions. Runs with the same values of "
        "the options --by form a group, with one run for each seed.",
    )
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
        "--confidence", type=float, default=0.95, help="coverage of intervals (default: 0.95)"
    )
    parser.add_argument("--format", choices=FORMATS, default="table", help="format of the table")
    parser.add_argument(
        "--plot", metavar="FILE", help="figure of score against cost, such as c.svg"
    )
    parser.add_argument(
        "--cost", choices=COSTS, default="seconds", help="cost in the figure (default: seconds)"
    )
    return parser


def _folders(args: Namespace) -> list[Path]:
    given = [Path(folder) for folder in args.folders or [ROOT]]
    for folder in given:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder")
    folders = list(dict.fromkeys(run for root in given for run in sorted(runs_below(root))))
    if len(folders) < 2:
        where = ", ".join(map(str, given))
        raise UserError(f"a comparison needs at least two runs, {where} has {len(folders)}")
    return folders


def _plot(comparison: "Comparison", cost: str, path: Path) -> None:
    from rnn_lab.comparison.plots import plot_pareto

    try:
        plot_pareto(comparison, cost).savefig(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"--plot={path} cannot be written: {reason}") from error
