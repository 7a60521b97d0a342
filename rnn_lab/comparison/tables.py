"""Comparisons as tables: aligned text, Markdown, CSV and LaTeX."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence

from rnn_lab.comparison.compare import Comparison, Group
from rnn_lab.io.text_tables import aligned, four_digits

Cells = list[list[str]]
MIN_P = 1e-4  # smaller p-values are shown as below it


def as_text(comparison: Comparison) -> str:
    """Return an aligned table, followed by an explanation of its columns."""
    lines = aligned(cells(comparison), left=1)
    return "\n".join([*lines, "", *notes(comparison)]) + "\n"


def as_markdown(comparison: Comparison) -> str:
    """Return a Markdown table, followed by an explanation of its columns."""
    head, *rows = cells(comparison)
    rule = [" :--- ", *([" ---: "] * (len(head) - 1))]
    lines = [_row(head), "|" + "|".join(rule) + "|", *map(_row, rows)]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes(comparison))]) + "\n"


def _row(row: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def as_latex(comparison: Comparison) -> str:
    """Return a table of the LaTeX package booktabs."""
    head, *rows = cells(comparison)
    body = [" & ".join(map(_escaped, row)) + r" \\" for row in rows]
    return "\n".join(
        [
            r"\begin{tabular}{l" + "r" * (len(head) - 1) + "}",
            r"\toprule",
            " & ".join(map(_escaped, head)) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            *(f"% {note}" for note in notes(comparison)),
            "",
        ]
    )


def _escaped(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    escaped = "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)
    return f"${escaped}$" if escaped[:1] in "+-" and escaped[1:2].isdigit() else escaped


def as_csv(comparison: Comparison) -> str:
    """Return comma-separated values with all digits, in a row for each group."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        [
            *(
                " and ".join(comparison.by) or "runs",
                "runs",
                "metric",
                "mean",
                "standard_deviation",
            ),
            *("scores", "seeds", "difference", "low", "high", "p_value", "adjusted_p_value"),
            *("diebold_mariano_p_value", "parameters", "seconds", "processor_seconds"),
            *("targets_per_second", "peak_memory"),
        ]
    )
    for group in comparison.groups:
        difference = group.difference
        writer.writerow(
            [
                *(group.value, len(group.runs), comparison.metric, group.mean, group.deviation),
                " ".join(map(str, group.scores)),
                " ".join(run.seed for run in group.runs),
                *((difference[:4]) if difference else ("",) * 4),
                *(group.p_value, group.diebold_mariano, group.cost("parameters")),
                *(group.cost("seconds"), group.cost("processor_seconds")),
                *(group.targets_per_second, group.cost("peak_memory")),
            ]
        )
    return file.getvalue()


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "table": as_text,
    "md": as_markdown,
    "csv": as_csv,
    "latex": as_latex,
}


def cells(comparison: Comparison) -> Cells:
    """Return the cells of the table with those of its head; empty columns are left out."""
    confidence = f"{100 * comparison.confidence:g} % interval"
    several = len(comparison.groups) > 2
    head = [
        *(", ".join(comparison.by) or "runs", "runs", comparison.metric, "SD", "by seed"),
        *("difference", confidence, "p (Holm)" if several else "p", "p (DM)"),
        *("parameters", "seconds", "CPU seconds", "targets/s", "memory"),
    ]
    rows = [_cells(group, comparison) for group in comparison.groups]
    keep = [number for number in range(len(head)) if any(row[number] for row in rows)]
    return [[row[number] for number in keep] for row in [head, *rows]]


def _cells(group: Group, comparison: Comparison) -> list[str]:
    difference = group.difference
    memory = group.cost("peak_memory")
    interval = f"{_signed(difference.low)} to {_signed(difference.high)}" if difference else ""
    return [
        group.value,
        str(len(group.runs)),
        four_digits(group.mean),
        "" if group.deviation is None else four_digits(group.deviation),
        " ".join(map(four_digits, group.scores)) if len(group.scores) > 1 else "",
        _signed(difference.value) if difference else _missing(group, comparison),
        interval,
        _p_value(group.p_value),
        _p_value(group.diebold_mariano),
        _number(group.cost("parameters")),
        _number(group.cost("seconds")),
        _number(group.cost("processor_seconds")),
        _number(group.targets_per_second),
        "" if memory is None else f"{memory / 1e6:,.0f} MB",
    ]


def _missing(group: Group, comparison: Comparison) -> str:
    if comparison.against is None:
        return ""
    return "reference" if group.value == comparison.against else "unknown"


def _signed(value: float) -> str:
    text = four_digits(value)
    return text if text.startswith("-") else f"+{text}"


def _p_value(value: float | None) -> str:
    if value is None:
        return ""
    return f"< {MIN_P}" if value < MIN_P else f"{value:.2g}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def notes(comparison: Comparison) -> Iterator[str]:
    """Yield sentences that explain the columns, and what else differs."""
    if comparison.against is not None:
        yield from _method(comparison)
    elif len(comparison.groups) > 1:
        yield "differences with intervals: add --against VALUE, one of the first column"
    for name, values in comparison.others.items():
        shown = ", ".join(
            f"{group.value}: {value}"
            for group, value in zip(comparison.groups, values, strict=True)
        )
        yield f"{name} differs, too ({shown})"


def _method(comparison: Comparison) -> Iterator[str]:
    units, several = comparison.units, len(comparison.groups) > 2
    seeds = any(len(group.runs) > 1 for group in comparison.groups)
    sources = [*(["seeds (their variance between runs)"] if seeds else [])]
    if units is not None:
        lengths = f"{units.overlap} and {2 * units.overlap}"
        blocks = f" in blocks of {lengths}" if units.overlap > 1 else ""
        sources.append(
            f"the {units.count:,} {units.name} of the test (paired bootstrap{blocks}, numpy)"
        )
    single = [group.value for group in comparison.groups if len(group.runs) == 1]
    varied = " and ".join(sources) or "nothing that is known"
    yield f"difference: mean minus that of {comparison.against}; it varies with {varied}"
    if single and units is not None:
        yield f"not over seeds for {', '.join(single)}, of which there is one run"
    yield (
        "interval and p: Student's t with Satterthwaite's degrees of freedom (scipy)"
        + ("; p adjusted for the number of comparisons by Holm, intervals are not" * several)
    )
    if any(group.diebold_mariano is not None for group in comparison.groups):
        yield "p (DM): Diebold-Mariano test of these forecasts, without the variance over seeds"
    if units is not None and comparison.metric.startswith(("test/bleu", "test/chrf", "test/ter")):
        yield "scores of resampled sentences: sacrebleu"
