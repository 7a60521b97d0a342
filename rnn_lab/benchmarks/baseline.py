"""Compare time ratios with those of a file: ratios hold on other machines, times do not."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rnn_lab.benchmarks.comparison import Measured, Result
from rnn_lab.errors import UserError

COMPILED, PLAIN = ", compiled", ", plain"  # kernels in the names of variants
Ratios = dict[str, dict[str, float]]  # by comparison and variant


def ratios_of(results: Sequence[Result]) -> Ratios:
    """Return the ratios of the shortest times of all variants to those of the first reference."""
    return {
        f"{each.comparison.part}, {each.comparison.title}, over {each.comparison.references[0]}": {
            _label(variant): round(each.best_ratio(variant, each.comparison.references[0]), 3)
            for variant in each.variants
        }
        for each in results
    }


def _label(variant: Measured) -> str:
    """Name a variant with its kernels, which layers of PyTorch do not use."""
    if variant.name.startswith("nn."):
        return variant.name
    kind = COMPILED if variant.kernels.startswith("compiled") else PLAIN
    return variant.name.removesuffix(PLAIN) + kind


def read_baseline(path: Path) -> Ratios:
    """Read ratios from a file.

    Raises:
        UserError: If the file is not one of ratios.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        return {
            title: {name: float(ratio) for name, ratio in variants.items()}
            for title, variants in content["time_ratios"].items()
        }
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is not a file of ratios, as --write_baseline writes it") from error


def deviations(found: Ratios, baseline: Ratios, tolerance: float) -> Iterator[str]:
    """Yield a line for each ratio that deviates from the baseline, or is not in one of both.

    Ratios of compiled kernels are left out where only plain PyTorch was measured, and vice versa.

    Args:
        found: Ratios that were measured.
        baseline: Ratios that are expected.
        tolerance: Relative deviation that is allowed, such as 0.25.
    """
    for title, variants in baseline.items():
        for name, expected in variants.items():
            now = found.get(title, {}).get(name)
            if now is None:
                if not _other_kernels(name, found):
                    yield f"{title}: {name} was not measured"
            elif not expected / (1 + tolerance) <= now <= expected * (1 + tolerance):
                word = "slower" if now > expected else "faster"
                yield (
                    f"{title}: {name} takes {now:.2f}, {expected:.2f} in the baseline: {word} by "
                    f"more than {tolerance:.0%}"
                )
    for title, variants in found.items():
        for name in variants.keys() - baseline.get(title, {}).keys():
            yield f"{title}: {name} is not in the baseline"


def _other_kernels(name: str, found: Ratios) -> bool:
    """Whether a variant has kernels with which nothing was measured."""
    names = [each for variants in found.values() for each in variants]
    kinds = [kind for kind in (COMPILED, PLAIN) if name.endswith(kind)]
    return any(not any(each.endswith(kind) for each in names) for kind in kinds)
