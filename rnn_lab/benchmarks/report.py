"""Tables and files of what was measured."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rnn_lab.benchmarks.comparison import Measured, Result, spread
from rnn_lab.benchmarks.settings import Settings

FORMAT = 1  # of the file, raised when its content changes its meaning


def as_json(
    machine: dict[str, Any], settings: Settings, results: Sequence[Result]
) -> dict[str, Any]:
    """Return everything that was measured, as it is written to a file.

    Args:
        machine: Versions and hardware.
        settings: Options of the command line.
        results: The measurements.
    """
    return {
        "format": FORMAT,
        "machine": machine,
        "settings": asdict(settings),
        "comparisons": [_comparison(each) for each in results],
    }


def _comparison(result: Result) -> dict[str, Any]:
    comparison = result.comparison
    return {
        "part": comparison.part,
        "title": comparison.title,
        "unit": comparison.unit,
        "threads": comparison.threads,
        "gemm_flops_per_second": result.gemm,
        "variants": [_variant(result, each) for each in result.variants],
    }


def _variant(result: Result, variant: Measured) -> dict[str, Any]:
    return {
        "name": variant.name,
        "kernels": variant.kernels,
        "per_second": variant.per_second,
        "seconds": [each.seconds for each in variant.samples],
        "items": [each.items for each in variant.samples],
        "megabytes": variant.megabytes,
        "flops_per_second": variant.flops_per_second or None,
        "gemm_share": gemm_share(result, variant),
        "time_ratios": {
            reference: {
                "rounds": ratios,
                **spread(ratios)._asdict(),
                "best": result.best_ratio(variant, reference),
            }
            for reference in result.comparison.references
            for ratios in [result.ratios(variant, reference)]
        },
    }


def gemm_share(result: Result, variant: Measured) -> float | None:
    """Return the rate of a variant over that of matrix products; None if either is not known."""
    if not result.gemm or not variant.flops:
        return None
    return variant.flops_per_second / result.gemm


def header(machine: dict[str, Any], settings: Settings) -> str:
    """Return the lines before the tables."""
    precision = "bfloat16 autocast" if settings.bfloat16 else "float32"
    return "\n".join(
        [
            f"rnn_lab {machine['rnn_lab']}, torch {machine['torch']}, {precision}, "
            f"{settings.rounds} rounds",
            f"{machine['processor'] or machine['system']} ({machine['capability']}), "
            f"{machine['cores']} cores, device {machine['device']}",
            f"kernels: {machine['kernels']}",
            "Columns with a slash: time over that of the named variant, median (quartiles).",
        ]
    )


def table(result: Result) -> str:
    """Return the results of a comparison as a Markdown table with a title."""
    comparison = result.comparison
    title = f"{comparison.part}: {comparison.title}"
    if result.gemm:
        title += f"; matrix products {result.gemm / 1e9:,.0f} GFLOP/s"
    has_flops = any(each.flops for each in result.variants)
    columns = ["variant", f"{comparison.unit}/s"]
    columns += [f"/ {reference}" for reference in comparison.references]
    columns += ["peak MB", *(["GFLOP/s", "of products"] if has_flops else [])]
    rows = [_cells(result, each, has_flops) for each in result.variants]
    return f"{title}\n\n" + "\n".join(_aligned([columns, *rows]))


def _cells(result: Result, variant: Measured, has_flops: bool) -> list[str]:
    cells = [variant.name, f"{variant.per_second:,.0f}"]
    for reference in result.comparison.references:
        median, low, high = spread(result.ratios(variant, reference))
        same = variant.name == reference
        cells.append("1" if same else f"{median:.2f} ({low:.2f} to {high:.2f})")
    cells.append("" if variant.megabytes is None else f"{variant.megabytes:,.0f}")
    if has_flops:
        share = gemm_share(result, variant)
        cells += [
            f"{variant.flops_per_second / 1e9:,.1f}" if variant.flops else "",
            "" if share is None else f"{share:.0%}",
        ]
    return cells


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
        yield f"| {' | '.join(cells)} |"
        if number == 0:
            yield f"| {' | '.join('-' * width for width in widths)} |"
