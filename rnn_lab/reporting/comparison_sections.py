"""Sections on several runs: their comparison, and their learning curves over each other."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain

from rnn_lab.comparison.compare import COSTS, Comparison
from rnn_lab.comparison.options import differing, labels
from rnn_lab.comparison.plots import LABELS, plot_pareto, without_cost
from rnn_lab.comparison.saved_run import SavedRun
from rnn_lab.comparison.tables import cells, notes
from rnn_lab.io.text_tables import four_digits
from rnn_lab.reporting.figures import Line, overlaid_curves
from rnn_lab.reporting.parts import Picture, Section, Table
from rnn_lab.reporting.saved_files import Frame
from rnn_lab.reporting.svg import draw


def compared(comparison: Comparison) -> Iterator[Section]:
    """Yield the table of a comparison, and its figure of score against cost."""
    head, *rows = cells(comparison)
    sentences = [f"{note[0].upper()}{note[1:]}." for note in notes(comparison)]
    warnings = [f"Warning: {warning}." for warning in comparison.warnings]
    cost = next((n for n in COSTS if any(g.cost(n) is not None for g in comparison.groups)), None)
    pictures = []
    if cost is not None:
        caption = f"{comparison.metric} against {LABELS[cost]}, with standard deviations over seeds"
        if (line := without_cost(comparison, cost)) is not None:
            warnings.append(f"{line[0].upper()}{line[1:]}.")
        pictures = [Picture(caption, draw(partial(plot_pareto, comparison, cost), "pareto"))]
    yield Section("Comparison", [*warnings, *sentences], pictures, [Table(head, rows)])


def overview(runs: Sequence[SavedRun], titles: Sequence[str]) -> Section:
    """Return a table with a row for each run."""
    options = differing([run.options for run in runs])
    scores = dict.fromkeys(chain.from_iterable(run.scores for run in runs))
    rows = []
    for number, (run, title) in enumerate(zip(runs, titles, strict=True)):
        tested = [four_digits(run.scores[n]) if n in run.scores else "" for n in scores]
        values = [each[number] for each in options.values()]
        state = str(run.state.get("state", "unknown"))
        rows.append([title, state, *values, run.seed if run.options else "", *tested])
    head = ["run", "state", *options, "seed", *scores]
    return Section("Runs", tables=[Table(head, rows, 2 + len(options))])


def curves(
    runs: Sequence[SavedRun], frames: Sequence[Frame], titles: Sequence[str], by: Sequence[str]
) -> Iterator[Section]:
    """Yield the learning curves of all runs over each other.

    Args:
        runs: The runs.
        frames: Their metrics.
        titles: Their names.
        by: Options whose values decide the color; none for a color for each run.
    """
    names_of_runs = titles
    if by:
        names_of_runs = labels([run.options for run in runs], by)
    lines = [Line(label, frame) for label, frame in zip(names_of_runs, frames, strict=True)]
    monitors = [str(run.state.get("monitor")) for run in runs]
    names = [
        name
        for name in dict.fromkeys(["train/loss", "val/loss", *monitors])
        if sum(any(v is not None for v in frame.get(name, ())) for frame in frames) > 1
    ]
    pictures = [
        Picture(
            f"{name} by optimization step, a line for each run",
            draw(partial(overlaid_curves, lines, name), f"overlaid-{number}"),
        )
        for number, name in enumerate(names)
    ]
    if pictures:
        yield Section("Learning curves", pictures=pictures)
