"""Write a report of runs as one HTML file: curves, scores, errors, cost, comparison.

Examples:
    rnn-lab report runs/TREC/lstm --output lstm.html
    rnn-lab report runs/TREC --by model.layer --against LSTM --output trec.html
"""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from rnn_lab.commands._parsing import ConciseErrorsMixin
from rnn_lab.errors import UserError
from rnn_lab.io.atomic import atomic_write
from rnn_lab.io.run_files import ROOT, runs_below


class ReportParser(ConciseErrorsMixin, ArgumentParser):
    """Argument parser of the standard library with concise errors."""


def main(options: Sequence[str]) -> None:
    """Write the report, and print its path.

    Args:
        options: Command-line arguments after `report`.

    Raises:
        UserError: If there is no run, the comparison that was asked for is not possible, or the
            file cannot be written.
    """
    args = _parser().parse_args(list(options))
    if not 0 < args.confidence < 1:
        raise UserError(f"--confidence must be between 0 and 1, got {args.confidence}")
    folders = _folders([Path(folder) for folder in args.folders or [ROOT]])
    output = Path(args.output)
    if output.is_dir():
        raise UserError(f"--output={output} is a folder: give the name of a file")
    from rnn_lab.reporting.page import Choice, render

    page = render(folders, Choice(args.by, args.metric, args.against, args.confidence))
    with atomic_write(output) as file:
        file.write(page)
    print(output)


def _parser() -> ReportParser:
    parser = ReportParser(
        prog="rnn-lab report",
        description="Write one HTML file on runs, which opens without a network connection. "
        "Several runs are compared as by `rnn-lab compare`.",
    )
    parser.add_argument(
        "folders", nargs="*", metavar="FOLDER", help="runs, or folders of runs (default: runs)"
    )
    parser.add_argument(
        "--output", default="report.html", metavar="FILE", help="the file (default: report.html)"
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
    return parser


def _folders(given: Sequence[Path]) -> list[Path]:
    for folder in given:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder")
    folders = list(dict.fromkeys(run for root in given for run in sorted(runs_below(root))))
    if not folders:
        raise UserError(f"there is no run in {', '.join(map(str, given))}")
    return folders
