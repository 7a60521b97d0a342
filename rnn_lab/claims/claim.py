"""A claim: a sentence, the runs that test it, and hypotheses on their results. Read from YAML."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from rnn_lab.claims.hypothesis import Hypothesis
from rnn_lab.errors import UserError

Options = dict[str, Any]  # values of options of `fit` by name, such as `model.layer`
BENCHMARKS = ("layers",)
FIGURES = ("scores", "cost", "curves", "lengths", "gradients")
VARIANT = re.compile(r"\w[\w.+-]*")  # names of variants are parts of names of folders


@dataclass(frozen=True)
class FigureOptions:
    """What the figure of a claim shows.

    Attributes:
        kind: `scores` by variant; `cost`, the score against a cost; `curves` of a metric over
            training; `lengths`, a score by length of the source; `gradients` by distance in time.
        metric: The metric.
        cost: The cost, for the kind `cost`.
        log: Whether the axis of the metric is logarithmic.
    """

    kind: str
    metric: str
    cost: str = "processor_seconds"
    log: bool = False


@dataclass(frozen=True)
class Claim:
    """A sentence of the textbook, and the experiment that tests it.

    Attributes:
        name: Its name, that of the file.
        sentence: The sentence.
        section: Section of the textbook that has it.
        setting: What is trained or timed, in a sentence.
        variants: Options of each variant by its name, which override all others.
        hypotheses: What the claim predicts.
        figure: What the figure shows.
        config: Shipped config, or file, that all runs start from; empty if nothing is trained.
        benchmark: What is timed instead: `layers`, see `rnn_lab.claims.timing.LayerTiming`.
        options: Options of all runs, which override the config, or those of the benchmark.
        note: What a reader should know about the setting.
    """

    name: str
    sentence: str
    section: str
    setting: str
    variants: dict[str, Options]
    hypotheses: tuple[Hypothesis, ...]
    figure: FigureOptions
    config: str = ""
    benchmark: str = ""
    options: Options = field(default_factory=dict)
    note: str = ""


Part = TypeVar("Part", FigureOptions, Hypothesis, Claim)


def read_claim(path: Path) -> Claim:
    """Read a claim.

    Raises:
        UserError: If the file is not a claim; the message names what is wrong.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UserError(f"{path} cannot be read: {reason}") from error
    try:
        return _claim(_mapping(content, "a claim") | {"name": path.stem})
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def _claim(content: dict[str, Any]) -> Claim:
    listed = content.get("hypotheses") or []
    if not isinstance(listed, list):
        raise ValueError("hypotheses must be a list")
    hypotheses = [_build(Hypothesis, each, "a hypothesis") for each in listed]
    claim = _build(Claim, content, "a claim")
    variants = _mapping(claim.variants, "variants")
    parts = {
        "hypotheses": tuple(hypotheses),
        "variants": {str(name): _mapping(each or {}, name) for name, each in variants.items()},
        "figure": _build(FigureOptions, claim.figure, "figure"),
        "options": _mapping(claim.options, "options"),
    }
    claim = Claim(**(vars(claim) | parts))
    if problem := _problem(claim):
        raise ValueError(problem)
    return claim


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{what} must map names to values, got {value!r}")
    return dict(value)


def _build(cls: type[Part], value: Any, what: str) -> Part:
    content = _mapping(value, what)
    known = [each.name for each in fields(cls)]
    if unknown := [name for name in content if name not in known]:
        raise ValueError(f"{what} has no {unknown[0]}: use {', '.join(known)}")
    try:
        return cls(**content)
    except TypeError as error:
        missing = re.findall(r"'(\w+)'", str(error))
        raise ValueError(f"{what} needs {', '.join(missing)}") from error


def _problem_of_variants(names: Sequence[str]) -> str | None:
    if len(names) < 2:
        return "variants must have at least two names"
    for name in names:
        if not VARIANT.fullmatch(name):
            return f"a variant must be a plain name for a folder, got {name!r}"
    return None


def _problem(claim: Claim) -> str | None:
    if bool(claim.config) == bool(claim.benchmark):
        return "a claim needs either config or benchmark"
    if claim.benchmark and claim.benchmark not in BENCHMARKS:
        return f"benchmark must be {', '.join(BENCHMARKS)}, got {claim.benchmark!r}"
    if problem := _problem_of_variants([*claim.variants]):
        return problem
    if not claim.hypotheses:
        return "hypotheses must have at least one entry"
    for hypothesis in claim.hypotheses:
        for name in (hypothesis.variant, hypothesis.than):
            if name not in claim.variants:
                return f"there is no variant {name}: use {', '.join(claim.variants)}"
        if problem := hypothesis.problem():
            return problem
    if claim.figure.kind not in FIGURES:
        return f"kind must be one of {', '.join(FIGURES)}, got {claim.figure.kind!r}"
    return None
