"""Results of benchmarks that were not measured, for tests of what is done with them."""

from rnn_lab.benchmarks.comparison import Comparison, Measured, Result, Sample


def all_alike(comparison: Comparison, rounds: int, note: object = None) -> Result:
    """Return the result in which every variant takes one second for ten items."""
    return result(comparison, {each.name: [1.0] * rounds for each in comparison.variants})


def result(comparison: Comparison, seconds: dict[str, list[float]]) -> Result:
    """Return the result in which variants take these seconds for ten items."""
    variants = [
        Measured(name, [Sample(each, 10.0) for each in times], 2e9, 50.0, "PyTorch")
        for name, times in seconds.items()
    ]
    return Result(comparison, variants, 1e11)
