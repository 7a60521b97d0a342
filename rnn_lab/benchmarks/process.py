"""Processes in which implementations are measured, each with environment variables of its own.

The processes live as long as a comparison. One at a time computes, the others wait for a line on
their standard input.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

from rnn_lab.benchmarks.comparison import Comparison
from rnn_lab.errors import UserError

PATIENCE = 5.0  # seconds in which a process may end by itself


class Process:
    """A process that builds the implementations of a comparison and measures them on request.

    Args:
        comparison: What it takes part in.
        environment: Environment variables besides those of this process.
        names: Names of the variants, with those of their implementations.

    Attributes:
        kernels: Kernels that recurrent layers use there.
    """

    def __init__(
        self, comparison: Comparison, environment: Mapping[str, str], names: Mapping[str, str]
    ) -> None:
        self.names = dict(names)
        self.child = subprocess.Popen(
            [sys.executable, "-m", "rnn_lab.benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(comparison.threads), **environment},
        )
        self.comparison, self.kernels = comparison, ""

    def build(self) -> None:
        """Build the implementations."""
        names = sorted({*self.names.values()})
        described = {**asdict(self.comparison), "variants": [], "names": names}
        self.kernels = self._ask(described)["kernels"]

    def values(self, name: str) -> list[float]:
        """Return the values of a variant that must equal those of others."""
        return list(self._ask({"values": self.names[name]})["values"])

    def flops(self, name: str) -> float:
        """Return the floating-point operations of a variant per item."""
        return float(self._ask({"flops": self.names[name]})["flops"])

    def megabytes(self, name: str) -> float | None:
        """Return the memory of a run at its peak, see `peak_megabytes`."""
        memory: float | None = self._ask({"megabytes": self.names[name]})["megabytes"]
        return memory

    def run(self, name: str, number: int) -> tuple[float, float]:
        """Run a round of a variant; return its seconds and items."""
        seconds, items = self._ask({"run": self.names[name], "number": number})["sample"]
        return seconds, items

    def gemm(self) -> float:
        """Return the rate of matrix products, in floating-point operations per second."""
        return float(self._ask({"gemm": True})["gemm"])

    def close(self) -> None:
        """End the process."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        with suppress(BrokenPipeError):  # what is still to be written to an ended process
            self.child.stdin.close()
        try:
            self.child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        with suppress(BrokenPipeError):  # it has ended, which its output tells, too
            self.child.stdin.write(json.dumps(request) + "\n")
            self.child.stdin.flush()
        place = f"{self.comparison.part}, {self.comparison.title}"
        line = self.child.stdout.readline()
        if not line:
            status = self.child.wait()
            raise UserError(f"{place}: a process ended with status {status}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise UserError(f"{place}: {answer['error']}")
        return answer


@contextmanager
def open_processes(comparison: Comparison) -> Iterator[dict[str, Process]]:
    """Start the processes of a comparison, one per set of environment variables.

    Args:
        comparison: The comparison.

    Yields:
        The process of each variant, by the name of the variant.
    """
    groups: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    for each in comparison.variants:
        groups.setdefault(tuple(sorted(each.environment.items())), {})[each.name] = (
            each.implementation
        )
    opened: dict[str, Process] = {}
    processes: list[Process] = []
    try:
        for environment, names in groups.items():
            processes.append(Process(comparison, dict(environment), names))
            processes[-1].build()
            opened |= dict.fromkeys(names, processes[-1])
        yield {each.name: opened[each.name] for each in comparison.variants}
    finally:
        for process in processes:
            process.close()
