"""Write a report of runs as one HTML file: curves, scores, errors, cost, comparison.

Examples:
    rnn-lab report runs/TREC/lstm --output lstm.html
    rnn-lab report runs/TREC --by model.layer --against LSTM --output trec.html
"""

from collections.abc import Sequence
from pathlib import Path

from rnn_lab.commands._comparison_options import add_comparison_options, run_folders
from rnn_lab.commands._light_parser import LightParser
from rnn_lab.errors import UserError
from rnn_lab.io.atomic import atomic_write


def main(options: Sequence[str]) -> None:
    """Write the report, and print its path.

    Args:
        options: Command-line arguments after `report`.

    Raises:
        UserError: If there is no run, the comparison that was asked for is not possible, or the
            file cannot be written.
    """
    args = _parser().parse_args(list(options))
    folders = run_folders(args, least=1)
    output = Path(args.output)
    if output.is_dir():
        raise UserError(f"--output={output} is a folder: give the name of a file")
    from rnn_lab.reporting.page import Choice, render

    page = render(folders, Choice(args.by, args.metric, args.against, args.confidence))
    with atomic_write(output) as file:
        file.write(page)
    print(output)


def _parser() -> LightParser:
    parser = LightParser(
        prog="rnn-lab report",
        description="Write one HTML file on runs, which opens without a network connection. "
        "Several runs are compared as by `rnn-lab compare`.",
    )
    add_comparison_options(parser)
    parser.add_argument(
        "--output", default="report.html", metavar="FILE", help="the file (default: report.html)"
    )
    return parser
