"""Compare tested runs: scores by seed, differences with intervals, costs.

Examples:
    rnn-lab compare runs/TREC --by model.layer --against LSTM
    rnn-lab compare runs/a runs/b --metric test/f1 --format md --plot f1.svg
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rnn_lab.commands._comparison_options import add_comparison_options, run_folders
from rnn_lab.commands._light_parser import LightParser
from rnn_lab.commands._parsing import print_error
from rnn_lab.errors import UserError

if TYPE_CHECKING:
    from rnn_lab.comparison.compare import Comparison

FORMATS = ("table", "md", "csv", "latex")
COSTS = ("seconds", "processor_seconds", "parameters", "peak_memory")


def main(options: Sequence[str]) -> None:
    """Print a table with a row for each value of the options that are compared.

    Args:
        options: Command-line arguments after `compare`.

    Raises:
        UserError: If the runs cannot be compared, or an option, metric or value does not exist.
    """
    args = _parser().parse_args(list(options))
    folders = run_folders(args, least=2)
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


def _parser() -> LightParser:
    parser = LightParser(
        prog="rnn-lab compare",
        description="Compare runs whose test has saved predictions. Runs with the same values of "
        "the options --by form a group, with one run for each seed.",
    )
    add_comparison_options(parser)
    parser.add_argument("--format", choices=FORMATS, default="table", help="format of the table")
    parser.add_argument(
        "--plot", metavar="FILE", help="figure of score against cost, such as c.svg"
    )
    parser.add_argument(
        "--cost", choices=COSTS, default="seconds", help="cost in the figure (default: seconds)"
    )
    return parser


def _plot(comparison: "Comparison", cost: str, path: Path) -> None:
    from rnn_lab.comparison.plots import plot_pareto, without_cost

    figure = plot_pareto(comparison, cost)
    if (line := without_cost(comparison, cost)) is not None:
        print_error(f"warning: {line}")
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"--plot={path} cannot be written: {reason}") from error
