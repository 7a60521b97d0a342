"""Test claims of the textbook by experiments, and write a page for each.

Examples:
    rnn-lab claims --list
    rnn-lab claims gru bidirectional --jobs 2
"""

from argparse import Namespace
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from rnn_lab.commands._configs import shipped_claims
from rnn_lab.commands._light_parser import LightParser
from rnn_lab.commands._loading import loading
from rnn_lab.commands._parsing import print_error
from rnn_lab.commands._seeds import parse_seeds
from rnn_lab.errors import UserError
from rnn_lab.io.atomic import atomic_write
from rnn_lab.io.run_files import ROOT
from rnn_lab.io.text_tables import aligned

if TYPE_CHECKING:
    from rnn_lab.claims.result import Result

MIN_SEEDS = 2
SIGNALED = 128  # exit statuses from here on are those of signals


def main(options: Sequence[str]) -> int:
    """Train the runs of claims that are missing, then write a page for each, and print verdicts.

    Args:
        options: Command-line arguments after `claims`.

    Returns:
        0, 1 if a run failed, or 128 + signal number if interrupted.

    Raises:
        UserError: If a claim is unknown, an option is invalid, or a folder has a run with other
            options.
    """
    args = _parser().parse_args(list(options))
    paths = [_path(name) for name in args.names] or [*shipped_claims().values()]
    if args.list:
        print("\n".join(_listed(paths)))
        return 0
    seeds = parse_seeds(args.seeds)
    if len(seeds) < MIN_SEEDS:
        raise UserError(f"a verdict needs at least {MIN_SEEDS} seeds, got --seeds={args.seeds}")
    if args.jobs < 1:
        raise UserError(f"--jobs must be a number of at least 1, got {args.jobs}")
    return _run(paths, seeds, args)


def _run(paths: Sequence[Path], seeds: Sequence[int], args: Namespace) -> int:
    with loading("loading torch and Lightning"):
        from rnn_lab.claims.claim import read_claim
        from rnn_lab.claims.page import summary
        from rnn_lab.claims.result import result
        from rnn_lab.commands._claim_runs import runs_of

    claims = [read_claim(path) for path in dict.fromkeys(paths)]
    plans = [runs_of(claim, seeds) for claim in claims]  # validates all before the first training
    results, failed = [], False
    for number, (claim, runs) in enumerate(zip(claims, plans, strict=True), 1):
        print_error(
            f"claim {number} of {len(claims)}, {claim.name}: {runs.count_finished()} of "
            f"{runs.count()} runs finished"
        )
        status = runs.complete(args.jobs)
        if status > SIGNALED:
            return status
        failed |= bool(status)
        results.append(result(claim, {name: [*f.values()] for name, f in runs.folders.items()}))
        try:
            print(_write(results[-1], Path(args.output)))
        except UserError as error:  # the other claims are not concerned
            print_error(f"{claim.name} has no page: {error}")
            failed = True
    print("\n".join(aligned(summary(results), left=3)))
    return int(failed)


def _write(result: "Result", folder: Path) -> Path:
    """Write the page of a claim, and return the path of its HTML file."""
    from rnn_lab.claims.page import html, markdown, svg

    name = result.claim.name
    texts = {f"{name}.html": html(result), f"{name}.md": markdown(result)}
    if result.is_complete:
        texts |= {f"{name}.svg": svg(result), f"{name}_dark.svg": svg(result, dark=True)}
    for problem in result.problems:
        print_error(f"warning: {problem}")
    for each, text in texts.items():
        with atomic_write(folder / each) as file:
            file.write(text)
    return folder / f"{name}.html"


def _parser() -> LightParser:
    parser = LightParser(
        prog="rnn-lab claims",
        description="Test claims of the textbook: train the runs of each claim, or time layers, "
        "compare them, and write a page with the verdict. Running the same command again resumes "
        "it; finished runs are not repeated.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="claims, or files of claims (default: all)"
    )
    parser.add_argument("--list", action="store_true", help="list the claims, and train nothing")
    parser.add_argument("--seeds", default="1,2,3", help="random seeds (default: 1,2,3)")
    parser.add_argument(
        "--jobs", type=int, default=1, help="runs to train at the same time (default: 1)"
    )
    parser.add_argument(
        "--output",
        default=str(ROOT / "claims"),
        metavar="FOLDER",
        help="folder of the pages (default: runs/claims)",
    )
    return parser


def _path(name: str) -> Path:
    """Return the file of a claim; a file comes before a shipped claim of that name."""
    claims = shipped_claims()
    if Path(name).is_file():
        return Path(name)
    if name in claims:
        return claims[name]
    near = get_close_matches(name, claims, 3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"use {', '.join(claims)}"
    raise UserError(f"{name} is neither a file nor the name of a claim: {hint}")


def _listed(paths: Sequence[Path]) -> list[str]:
    from rnn_lab.claims.claim import read_claim

    claims = [read_claim(path) for path in paths]
    return aligned([[claim.name, claim.sentence] for claim in claims], left=2)
