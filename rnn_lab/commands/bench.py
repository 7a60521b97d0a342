"""Measure speed on this machine: textbook, plain PyTorch and rnn_lab in turns.

Examples:
    rnn-lab bench layers --quick
    rnn-lab bench layers --threads 1 2 --json layers.json --plot layers.png
"""

import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rnn_lab.commands._light_parser import LightParser
from rnn_lab.commands._parsing import print_error
from rnn_lab.errors import UserError

if TYPE_CHECKING:
    from rnn_lab.benchmarks.comparison import Comparison, Result
    from rnn_lab.benchmarks.settings import Settings

ROUNDS, QUICK_ROUNDS = 9, 5
PRECISIONS = {"32": False, "32-true": False, "bf16": True, "bf16-mixed": True}


def main(options: Sequence[str]) -> int:
    """Measure and print tables; write files if that is wanted.

    Args:
        options: Command-line arguments after `bench`.

    Returns:
        0, or 1 if a ratio deviates from the baseline, or a comparison failed, for example because
        implementations that must be equal are not.

    Raises:
        UserError: If an option is invalid.
    """
    args = _parser().parse_args(list(options))
    settings = _settings(args)
    files = [Path(each) for each in (args.json, args.plot, args.write_baseline) if each]
    for file in files:
        if not file.parent.is_dir():
            raise UserError(f"{file} cannot be written: there is no folder {file.parent}")
    from rnn_lab.benchmarks import baseline
    from rnn_lab.io.waiting import waiting

    expected = baseline.read_baseline(Path(args.baseline)) if args.baseline else None
    with waiting("preparing"):
        planned = _chosen(list(_comparisons(args.parts, settings)), args.only)
    results, failures = _measure(planned, settings)
    _write(args, settings, results)
    if expected is None or failures:
        return min(failures, 1)
    lines = list(baseline.deviations(baseline.ratios_of(results), expected, args.tolerance))
    for line in lines:
        print_error(line)
    if not lines:
        print(f"\nall ratios are within {args.tolerance:.0%} of {args.baseline}")
    return 1 if lines else 0


def _parser() -> LightParser:
    parser = LightParser(
        prog="rnn-lab bench",
        description="Measure speed on this machine. Implementations that compute the same, which "
        "is checked first, take turns for some rounds; ratios of their times are printed with "
        "their quartiles. Run it on an idle machine.",
    )
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help="layers, text, translation, forecasting, language, trainer, data, decode, scaling or "
        "all (default: all)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="WORDS",
        help="measure only tables whose title contains one of these, such as SST2 or '64 x 20'",
    )
    parser.add_argument("--quick", action="store_true", help="fewer, smaller settings: minutes")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--precision", default="32-true", help="32-true or bf16-mixed")
    parser.add_argument("--rounds", type=int, help="rounds of measurements (9, with --quick 5)")
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        help="one or more numbers of threads (default: OMP_NUM_THREADS, else all cores)",
    )
    parser.add_argument("--layers", nargs="+", help="recurrent layers to measure (default: all)")
    parser.add_argument(
        "--plain_too",
        action="store_true",
        help="also measure without compiled kernels, in the same rounds",
    )
    parser.add_argument("--ckpt_path", help="translator from English for decode, else untrained")
    parser.add_argument("--json", help="file for versions, settings, times and ratios")
    parser.add_argument("--plot", help="file for a figure of the ratios, such as bench.png")
    parser.add_argument("--baseline", help="file of ratios; deviations are reported with status 1")
    parser.add_argument("--write_baseline", help="file to which the ratios are written")
    parser.add_argument(
        "--tolerance", type=float, default=0.25, help="relative deviation from the baseline"
    )
    return parser


def _settings(args: Namespace) -> "Settings":
    """Check the options."""
    from rnn_lab.benchmarks.settings import Settings

    if args.precision not in PRECISIONS:
        raise UserError(f"precision must be 32-true or bf16-mixed, got {args.precision}")
    rounds = (QUICK_ROUNDS if args.quick else ROUNDS) if args.rounds is None else args.rounds
    threads = args.threads or [int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)]
    return Settings(
        args.quick,
        _device(args.device),
        PRECISIONS[args.precision],
        rounds,
        tuple(threads),
        tuple(args.layers or ()),
        args.plain_too,
        args.ckpt_path,
    )


def _device(name: str) -> str:
    import torch

    if name == "cpu":
        return name
    if name.partition(":")[0] != "cuda":
        raise UserError(f"device must be cpu or cuda, got {name}")
    if not torch.cuda.is_available():
        raise UserError(f"device {name} is not available: PyTorch finds no GPU here")
    return name


def _comparisons(parts: Sequence[str], settings: "Settings") -> Iterator["Comparison"]:
    from rnn_lab.benchmarks.parts import PARTS

    for name in parts:
        if name not in (*PARTS, "all"):
            raise UserError(f"there is no part {name}: choose from {', '.join(PARTS)} or all")
    for name, part in PARTS.items():
        if not parts or name in parts or "all" in parts:
            yield from part.comparisons(settings)


def _chosen(planned: Sequence["Comparison"], words: Sequence[str]) -> Sequence["Comparison"]:
    """Return the comparisons whose title contains one of the words; all if there are none."""
    chosen = [each for each in planned if any(word in each.title for word in words)]
    if words and not chosen:
        titles = "; ".join(each.title for each in planned)
        raise UserError(f"no table has {' or '.join(words)} in its title: {titles}")
    return chosen or planned


def _measure(planned: Sequence["Comparison"], settings: "Settings") -> "tuple[list[Result], int]":
    """Measure all comparisons and print a table after each; also return how many failed."""
    from rnn_lab.benchmarks import report
    from rnn_lab.benchmarks.machine import machine
    from rnn_lab.benchmarks.measure import measure
    from rnn_lab.io.waiting import waiting

    print(report.header(machine(settings.device), settings))
    results = []
    for number, comparison in enumerate(planned, start=1):
        try:
            with waiting(f"measuring {number} of {len(planned)}: {comparison.title}"):
                results.append(measure(comparison, settings.rounds))
        except UserError as error:  # others may succeed, and have taken long
            print_error(" ".join(str(error).split()))
            continue
        print(f"\n{report.table(results[-1])}", flush=True)
    return results, len(planned) - len(results)


def _write(args: Namespace, settings: "Settings", results: "Sequence[Result]") -> None:
    from rnn_lab.benchmarks import baseline, plots, report
    from rnn_lab.benchmarks.machine import machine

    if args.json:
        content = report.as_json(machine(settings.device), settings, results)
        Path(args.json).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if args.write_baseline:
        content = {"time_ratios": baseline.ratios_of(results)}
        Path(args.write_baseline).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if args.plot and results:
        plots.plot(results, Path(args.plot))
    sys.stdout.flush()
