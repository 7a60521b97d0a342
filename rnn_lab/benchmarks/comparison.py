"""Comparisons: which implementations take turns, which must be equal, and what was measured."""

import statistics
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rnn_lab.benchmarks.settings import TOLERANCE
from rnn_lab.benchmarks.timing import peak_megabytes
from rnn_lab.errors import UserError


class Sample(NamedTuple):
    """One timed run of an implementation.

    Attributes:
        seconds: Wall-clock time.
        items: What was processed meanwhile, in units of the comparison.
    """

    seconds: float
    items: float

    @property
    def seconds_per_item(self) -> float:
        """Wall-clock time per item."""
        return self.seconds / self.items


class Implementation(ABC):
    """One way to compute something, in the process that measures it.

    Attributes:
        flops: Floating-point operations in products with weights, per item; 0 if not counted.
    """

    flops: float = 0.0

    @abstractmethod
    def values(self) -> list[float]:
        """Compute numbers, such as a loss, that are equal for equal implementations."""

    @abstractmethod
    def run(self, number: int) -> Sample:
        """Process the items of a round, and measure the time.

        Args:
            number: Number of the round, from 0; equal numbers mean equal items.
        """

    def megabytes(self, device: str) -> float | None:
        """Measure the additional memory of a round at its peak; None if it is not known.

        Args:
            device: Device whose memory is measured; on a CPU, that of this process.
        """
        return peak_megabytes(lambda: self.run(0), device)


@dataclass(frozen=True)
class Variant:
    """An implementation in a process with certain environment variables.

    Args:
        name: Name in tables and files.
        implementation: Name among those that the part builds.
        environment: Environment variables of its process, besides those of this one.
    """

    name: str
    implementation: str
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Implementations that take turns.

    Args:
        part: Name of the part, whose module builds the implementations.
        title: What is compared, unique within a part.
        options: What the part needs to build them, as it can be written in JSON.
        variants: The implementations, the first reference first.
        references: Names of the variants to which times are compared.
        equal: Groups of variants whose values must be equal.
        unit: What the items are, such as `tokens`.
        threads: Number of threads of each process.
        tolerance: Relative and absolute difference at which values count as equal.
    """

    part: str
    title: str
    options: dict[str, Any]
    variants: Sequence[Variant]
    references: Sequence[str]
    equal: Sequence[Sequence[str]]
    unit: str
    threads: int = 1
    tolerance: float = TOLERANCE


class Spread(NamedTuple):
    """Median and quartiles."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the quartiles of values.

    Example:
        >>> spread([1.0, 2.0, 3.0, 4.0, 5.0])
        Spread(median=3.0, low=2.0, high=4.0)
    """
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


@dataclass
class Measured:
    """What was measured of a variant.

    Args:
        name: Its name.
        samples: One per round.
        flops: Floating-point operations per item; 0 if not counted.
        megabytes: Additional memory at the peak of a run; None if it cannot be measured.
        kernels: Kernels that its process uses.
    """

    name: str
    samples: list[Sample] = field(default_factory=list)
    flops: float = 0.0
    megabytes: float | None = None
    kernels: str = ""

    @property
    def per_second(self) -> float:
        """Items per second, the median over rounds."""
        return statistics.median(each.items / each.seconds for each in self.samples)

    @property
    def flops_per_second(self) -> float:
        """Floating-point operations per second, the median over rounds."""
        return self.flops * self.per_second


@dataclass
class Result:
    """What was measured of a comparison.

    Args:
        comparison: The comparison.
        variants: What was measured of each variant.
        gemm: Floating-point operations per second of matrix products of these shapes; 0 if they
            were not measured.
    """

    comparison: Comparison
    variants: list[Measured]
    gemm: float = 0.0

    def ratios(self, variant: Measured, reference: str) -> list[float]:
        """Return the time per item of a variant over that of a reference, in each round."""
        pairs = zip(variant.samples, self._named(reference).samples, strict=True)
        return [a.seconds_per_item / b.seconds_per_item for a, b in pairs]

    def best_ratio(self, variant: Measured, reference: str) -> float:
        """Return the ratio of the shortest times per item, which load of the machine changes least.

        Args:
            variant: One of the variants.
            reference: Name of another.
        """
        best, other = (
            min(sample.seconds_per_item for sample in each.samples)
            for each in (variant, self._named(reference))
        )
        return best / other

    def _named(self, name: str) -> Measured:
        (variant,) = (each for each in self.variants if each.name == name)
        return variant


def check_equal(comparison: Comparison, values: Mapping[str, Sequence[float]]) -> None:
    """Check that the variants of each group of a comparison compute equal values.

    Args:
        comparison: The comparison.
        values: Values by the names of variants.

    Raises:
        UserError: If they do not: their times could not be compared.
    """
    for first, *others in comparison.equal:
        for other in others:
            _check_pair(comparison, (first, values[first]), (other, values[other]))


def _check_pair(
    comparison: Comparison, one: tuple[str, Sequence[float]], two: tuple[str, Sequence[float]]
) -> None:
    place = f"{comparison.part}, {comparison.title}"
    if len(one[1]) != len(two[1]):
        raise UserError(f"{place}: {one[0]} and {two[0]} return different numbers of values")
    scale = max((abs(value) for value in one[1]), default=0.0)
    limit = comparison.tolerance * scale
    for a, b in zip(one[1], two[1], strict=True):
        if not abs(a - b) <= limit:  # which also holds for NaN
            raise UserError(
                f"{place}: {one[0]} and {two[0]} do not compute the same, {a:.6g} and {b:.6g}; "
                "nothing was timed"
            )
