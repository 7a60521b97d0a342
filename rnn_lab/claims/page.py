"""The page of a claim, as one HTML file and as Markdown with an SVG figure."""

import math
import re
import sys
from collections.abc import Sequence
from functools import partial
from importlib.resources import files

import numpy as np

import rnn_lab
from rnn_lab.claims.figures import caption, figure
from rnn_lab.claims.hypothesis import Hypothesis
from rnn_lab.claims.measure import measured
from rnn_lab.claims.result import Result
from rnn_lab.claims.timing import KERNELS
from rnn_lab.claims.verdict import LEVEL, Outcome
from rnn_lab.io.text_tables import four_digits
from rnn_lab.reporting.environment import ENVIRONMENT
from rnn_lab.reporting.parts import Picture, RunPart, Section, Table
from rnn_lab.reporting.svg import draw

RULE = (
    f"A hypothesis holds if its p-value is below {LEVEL} and the difference is on the predicted "
    "side, does not hold here if it is on the other side, and is not decided otherwise. A "
    "claim holds if all its hypotheses hold, and does not hold here if one does not."
)
STATISTICS = (
    "Intervals and p-values: Student's t with Satterthwaite's degrees of freedom over seeds, and "
    "over test rows for scores of the test; p-values are two-sided and adjusted by Holm."
)
HEAD = ["hypothesis", "verdict", "metric", "variants", "means", "difference", "95 % interval", "p"]
COLOR = re.compile(r"--([\w-]+): (#\w+)")


def html(result: Result) -> str:
    """Return the page as HTML without references to other files."""
    claim = result.claim
    facts = {
        "verdict": str(result.verdict),
        "section of the textbook": claim.section,
        "runs": str(sum(map(len, result.runs.values()))),
    }
    sections = [
        Section("Verdict", notes(result), tables=[Table(HEAD, _rows(result), left=4)]),
        Section("Figure", pictures=_pictures(result)),
        Section("Runs", tables=[Table(["variant", "seed", "folder"], _runs(result), left=3)]),
    ]
    part = RunPart("claim", claim.name, facts, sections)
    return ENVIRONMENT.get_template("page.html").render(
        heading=claim.sentence, sections=[], runs=[part], version=rnn_lab.__version__
    )


def markdown(result: Result) -> str:
    """Return the page as Markdown, whose figure is the file `NAME.svg` next to it."""
    claim = result.claim
    rule = "| " + " | ".join(["---"] * len(HEAD)) + " |"
    image = [f"![{caption(claim)}]({claim.name}.svg)", ""] if result.is_complete else []
    return "\n".join(
        [
            f"# {claim.sentence}",
            "",
            f"**Verdict: {result.verdict}.** Section of the textbook: {claim.section}.",
            "",
            *image,
            _row(HEAD),
            rule,
            *map(_row, _rows(result)),
            "",
            *(f"- {note}" for note in notes(result)),
            "",
        ]
    )


def notes(result: Result) -> list[str]:
    """Return sentences on the setting, the rule and what is missing."""
    claim = result.claim
    problems = [f"Warning: {problem}." for problem in result.problems]
    command = f"Command: rnn-lab claims {claim.name}"
    return [
        *problems,
        claim.setting,
        *([claim.note] if claim.note else []),
        *_kernels(result),
        RULE,
        STATISTICS,
        command,
    ]


def _kernels(result: Result) -> list[str]:
    """Return a sentence on the kernels that layers were timed with; none for trainings."""
    runs = [run for each in result.runs.values() for run in each]
    names = sorted({run.options[KERNELS] for run in runs if KERNELS in run.options})
    return [f"Kernels of the layers of rnn_lab: {', '.join(names)}"] if names else []


def svg(result: Result, dark: bool = False) -> str:
    """Return the figure as a file, whose colors are those of light or dark pages."""
    style = (files("rnn_lab.reporting") / "templates/style.css").read_text(encoding="utf-8")
    light, _, rest = style.partition("prefers-color-scheme: dark")
    colors = dict(COLOR.findall(light)) | (dict(COLOR.findall(rest)) if dark else {})
    text = str(draw(partial(figure, result.claim, result.runs), result.claim.name))
    for name, color in colors.items():
        text = text.replace(f"var(--{name})", color)
    text = text.replace("var(--font)", "sans-serif").replace("currentColor", colors["text"])
    space = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return text.replace("<svg", f"<svg {space}", 1)


def summary(results: Sequence[Result]) -> list[list[str]]:
    """Return a table of claims with their verdicts, its head first."""
    rows = [[each.claim.name, each.claim.sentence, str(each.verdict)] for each in results]
    return [["claim", "sentence", "verdict"], *rows]


def _pictures(result: Result) -> list[Picture]:
    if not result.is_complete:
        return []
    drawing = draw(partial(figure, result.claim, result.runs), "figure")
    return [Picture(caption(result.claim), drawing)]


def _runs(result: Result) -> list[list[str]]:
    return [
        [name, run.seed, run.folder.as_posix()]
        for name, each in result.runs.items()
        for run in each
    ]


def _rows(result: Result) -> list[list[str]]:
    return [_cells(outcome, result) for outcome in result.outcomes]


def _cells(outcome: Outcome, result: Result) -> list[str]:
    hypothesis, found = outcome.hypothesis, outcome.difference
    metric = hypothesis.metric
    if hypothesis.min_source_length:
        metric += f" of sources of at least {hypothesis.min_source_length} tokens"
    names = f"{hypothesis.variant}, {hypothesis.than}"
    if found is None or outcome.p_value is None:
        return [hypothesis.text, str(outcome.verdict), metric, names, "", "", "", ""]
    values = [_written(value, hypothesis) for value in (found.value, found.low, found.high)]
    p_value = f"{outcome.p_value:.2g}" if outcome.p_value >= 1e-4 else "< 0.0001"
    return [
        *(hypothesis.text, str(outcome.verdict), metric, names, _means(hypothesis, result)),
        *(values[0], f"{values[1]} to {values[2]}", p_value),
    ]


def _means(hypothesis: Hypothesis, result: Result) -> str:
    if hypothesis.min_source_length:
        return ""
    both = {name: result.runs[name] for name in (hypothesis.variant, hypothesis.than)}
    means = (float(np.mean(each)) for each in measured(hypothesis, both).values())
    return ", ".join(four_digits(_exp(m) if hypothesis.is_ratio else m) for m in means)


def _written(value: float, hypothesis: Hypothesis) -> str:
    """Write a difference with its sign, or a ratio as a factor."""
    if hypothesis.is_ratio:
        return f"\N{MULTIPLICATION SIGN} {four_digits(_exp(value))}"
    return f"{'+' if value >= 0 else ''}{four_digits(value)}"


def _exp(value: float) -> float:
    """Return the ratio of a logarithm; that of an interval may exceed the largest number."""
    return math.exp(value) if value < math.log(sys.float_info.max) else math.inf


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
