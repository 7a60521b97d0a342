"""Run a comparison: check that implementations are equal, then time them in turns."""

from collections.abc import Callable

from rnn_lab.benchmarks.comparison import Comparison, Measured, Result, Sample, check_equal
from rnn_lab.benchmarks.process import Process, open_processes

Note = Callable[[str], None]


def measure(comparison: Comparison, rounds: int, note: Note = lambda line: None) -> Result:
    """Measure all variants of a comparison in turns.

    Args:
        comparison: What to measure.
        rounds: Number of rounds, in each of which every variant runs once.
        note: Is called with a line on the progress.

    Raises:
        UserError: If variants that must be equal are not, or a process fails.
    """
    with open_processes(comparison) as processes:
        check_equal(comparison, {name: each.values(name) for name, each in processes.items()})
        measured = {name: _describe(name, each) for name, each in processes.items()}
        gemm = 0.0
        first = next(iter(processes.values()))
        for number in range(rounds):
            note(f"{comparison.part}, {comparison.title}: round {number + 1} of {rounds}")
            gemm = max(gemm, first.gemm())
            for name, process in processes.items():
                measured[name].samples.append(Sample(*process.run(name, number)))
    return Result(comparison, list(measured.values()), gemm)


def _describe(name: str, process: Process) -> Measured:
    """Run a variant for the first time, untimed, and measure its memory."""
    memory = process.megabytes(name)
    return Measured(name, [], process.flops(name), memory, process.kernels)
