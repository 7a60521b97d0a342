"""Sections on any run: scores, learning curves, cost, environment, config."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from rnn_lab.comparison.rows import read_rows
from rnn_lab.comparison.saved_run import SavedRun, read_run
from rnn_lab.comparison.scores import Columns, higher_is_better
from rnn_lab.errors import UserError
from rnn_lab.io.run_files import CONFIG, COST, METRICS, STATE, last_test_scores, read_record
from rnn_lab.io.text_tables import four_digits
from rnn_lab.reporting.figures import learning_curves
from rnn_lab.reporting.intervals import interval
from rnn_lab.reporting.parts import Picture, RunPart, Section, Table
from rnn_lab.reporting.saved_files import Frame, read_frame, read_text
from rnn_lab.reporting.svg import draw
from rnn_lab.reporting.task_sections import task_sections
from rnn_lab.training.plots import curve_panels

UNITS = {
    "seconds": "training (s)",
    "processor_seconds": "training (CPU s)",
    "steps": "steps",
    "parameters": "parameters",
    "trainable_parameters": "trainable parameters",
    "peak_memory": "peak memory (MB)",
    "train_rows": "training rows",
    "version": "version of the data",
}


def saved_run(folder: Path) -> tuple[SavedRun, str]:
    """Read a run, of which any file may be missing.

    Returns:
        The run, without options if its config cannot be read; and the reason, else nothing.
    """
    try:
        return read_run(folder), ""
    except UserError as error:
        scores, state = last_test_scores(folder), read_record(folder / STATE)
        return SavedRun(folder, {}, scores, state, read_record(folder / COST)), str(error)


def run_part(run: SavedRun, problem: str, key: str, title: str) -> RunPart:
    """Return the part of a report on a run.

    Args:
        run: The run.
        problem: Why its config cannot be read; empty if it can.
        key: Identifier in the page.
        title: Its name.
    """
    frame, rows = read_frame(run.folder), read_rows(run)
    rows = rows if rows and len(next(iter(rows.values()))) else {}
    sections = [
        *_missing(run, problem, frame, rows),
        *_scores(run, frame, rows),
        *_curves(frame, key),
        *task_sections(run.folder, rows, key),
        *_cost(run),
        *_config(run.folder),
    ]
    return RunPart(key, title, dict(_facts(run)), sections)


def _missing(run: SavedRun, problem: str, frame: Frame, rows: Columns) -> Iterator[Section]:
    """Yield what cannot be shown, and how it is made."""
    notes = [problem] if problem else []
    state = run.state.get("state")
    if state is None:
        notes.append(f"{STATE} is missing: it is not known whether training has ended")
    elif state != "finished":
        reason = f" ({run.state['reason']})" if run.state.get("reason") else ""
        notes.append(f"training has not finished: {state}{reason}")
    if not frame:
        notes.append(f"{METRICS} is missing or damaged: there are no learning curves")
    if not run.scores:
        notes.append(
            f"there are no test scores: rnn-lab test --ckpt_path={run.folder}/checkpoints/best.ckpt"
        )
    elif not rows:
        notes.append(f"{run.items.name} is missing: test scores have no intervals")
    if not run.cost:
        notes.append(f"{COST} is missing: the cost of training is not known")
    if notes:
        yield Section("What is missing", notes)


def _facts(run: SavedRun) -> Iterator[tuple[str, str]]:
    options, state, cost = run.options, run.state, run.cost
    for name in ("model", "data"):
        if name in options:
            yield name, options[name]
    if layer := options.get("model.layer"):
        yield "layer", layer
    if "seed_everything" in options:
        yield "seed", run.seed
    yield "state", str(state.get("state", "unknown"))
    metric = str(state.get("test_metric") or next(iter(run.scores), ""))
    if metric in run.scores:
        yield metric, four_digits(run.scores[metric])
    if isinstance(cost.get("seconds"), int | float):
        yield "training", f"{cost['seconds']:,.0f} s"
    if isinstance(cost.get("parameters"), int):
        yield "parameters", f"{cost['parameters']:,}"
    if isinstance(state.get("began"), int | float):
        yield "began (UTC)", time.strftime("%Y-%m-%d %H:%M", time.gmtime(state["began"]))


def _scores(run: SavedRun, frame: Frame, rows: Columns) -> Iterator[Section]:
    monitor = str(run.state.get("monitor") or "")
    validation = _at_best(frame, monitor)
    names = dict.fromkeys(name.partition("/")[2] for name in [*run.scores, *validation])
    if not names:
        return
    lines = []
    for name in names:
        metric = f"test/{name}"
        bounds = interval(run, metric, rows) if metric in run.scores else None
        lines.append(
            [
                name,
                four_digits(validation[f"val/{name}"]) if f"val/{name}" in validation else "",
                four_digits(run.scores[metric]) if metric in run.scores else "",
                " to ".join(map(four_digits, bounds)) if bounds else "",
            ]
        )
    head = ["metric", "validation", "test", "95 % interval of the test"]
    keep = [i for i in range(4) if any(line[i] for line in lines)]
    notes = [f"Validation scores are those of the step with the best {monitor}."] * bool(validation)
    if 3 in keep:
        notes.append(
            "Intervals are over the rows of the test for this one trained model: Wilson's for "
            "accuracy, else a bootstrap with Student's t (scipy). They do not contain the "
            "variance over seeds."
        )
    table = Table([head[i] for i in keep], [[line[i] for i in keep] for line in lines])
    yield Section("Scores", notes, tables=[table])


def _at_best(frame: Frame, monitor: str) -> dict[str, float]:
    """Return the validation scores of the row with the best monitored score."""
    pairs = [(v, i) for i, v in enumerate(frame.get(monitor, ())) if v is not None and v == v]
    if not pairs:
        return {}
    row = (max if higher_is_better(monitor) else min)(pairs)[1]
    columns = {name: values[row] for name, values in frame.items() if name.startswith("val/")}
    return {name: value for name, value in columns.items() if value is not None}


def _curves(frame: Frame, key: str) -> Iterator[Section]:
    panels = [each for each in curve_panels(frame) if each[1]] if frame else []
    pictures = [
        Picture(
            f"{label.capitalize()} by optimization step",
            draw(partial(learning_curves, panel, label), f"{key}-curve-{number}"),
        )
        for number, (label, panel) in enumerate(panels)
    ]
    if pictures:
        yield Section("Learning curves", pictures=pictures)


def _cost(run: SavedRun) -> Iterator[Section]:
    cost = run.cost
    values = {**cost, **cost["data"]} if cost else {}  # nothing if the run was killed before
    rows = [[title, _value(name, values[name])] for name, title in UNITS.items() if name in values]
    if run.targets_per_second is not None:
        rows.append(["targets per second", f"{run.targets_per_second:,.0f}"])
    if rows:
        yield Section("Cost", tables=[Table(["", "value"], rows)])
    if cost:
        pairs = [[str(name), str(value)] for name, value in cost["environment"].items()]
        yield Section("Environment", tables=[Table(["", "value"], pairs, 2)])


def _value(name: str, value: object) -> str:
    if name == "peak_memory" and isinstance(value, int | float):
        return f"{value / 1e6:,.0f}"
    if name == "version":
        return str(value)[:12]
    if isinstance(value, int | float):
        return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
    return "unknown" if value is None else str(value)


def _config(folder: Path) -> Iterator[Section]:
    if text := read_text(folder / CONFIG):
        yield Section("Config", text=text, folded=True)
