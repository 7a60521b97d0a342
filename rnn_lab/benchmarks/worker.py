"""Measure implementations on request: a line of JSON on standard input, an answer on output.

    python -m rnn_lab.benchmarks.worker

The first line describes the comparison. `rnn_lab.benchmarks.process` starts and asks the process.
"""

import json
import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, TextIO

import rnn_lab
from rnn_lab.benchmarks.comparison import Implementation
from rnn_lab.benchmarks.machine import kernels
from rnn_lab.benchmarks.parts import PARTS
from rnn_lab.benchmarks.timing import MatrixProducts
from rnn_lab.errors import UserError


def answers(requests: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Answer requests, the first of which describes the comparison."""
    remaining = iter(requests)
    comparison = next(remaining)
    part, options = PARTS[comparison["part"]], comparison["options"]
    if options.get("configure_cpu", True):
        rnn_lab.configure_cpu()  # unless environment variables prevent it
    built = part.build(options, comparison["names"])
    yield {"kernels": kernels()}
    device, bfloat16 = options["device"], options["bfloat16"]
    products = MatrixProducts(options.get("products", ()), bfloat16, device)
    for request in remaining:
        yield _answer(request, built, products, device)


def _answer(
    request: dict[str, Any],
    built: dict[str, Implementation],
    products: MatrixProducts,
    device: str,
) -> dict[str, Any]:
    match request:
        case {"values": name}:
            return {"values": built[name].values()}
        case {"flops": name}:
            return {"flops": built[name].flops}
        case {"megabytes": name}:
            return {"megabytes": built[name].megabytes(device)}
        case {"run": name, "number": number}:
            return {"sample": built[name].run(number)}
        case {"gemm": True}:
            return {"gemm": products.best_rate() if products.products else 0.0}
    raise ValueError(f"unknown request {request}")


def serve(requests: TextIO, output: TextIO) -> None:
    """Answer lines of JSON until the input ends; a user's mistake is answered, too."""
    try:
        for answer in answers(json.loads(line) for line in requests):
            output.write(json.dumps(answer) + "\n")
            output.flush()
    except UserError as error:
        output.write(json.dumps({"error": str(error)}) + "\n")
        output.flush()


def main() -> None:
    """Serve standard input; what libraries print is discarded, so that it does not mix."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    warnings.simplefilter("ignore")
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with suppress(KeyboardInterrupt, BrokenPipeError):  # which the parent process reports
        serve(sys.stdin, output)


if __name__ == "__main__":
    main()
