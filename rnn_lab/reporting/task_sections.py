"""Sections on what a task has saved: classes, translations, forecasts, texts, errors."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from rnn_lab.comparison.scores import Columns
from rnn_lab.io.run_files import read_record
from rnn_lab.io.text_tables import four_digits
from rnn_lab.reporting.attention_maps import attention_maps
from rnn_lab.reporting.figures import errors_by_step
from rnn_lab.reporting.forecast_windows import forecast_windows
from rnn_lab.reporting.heat_map import MAX_CLASSES, confusion, heat_map
from rnn_lab.reporting.parts import Picture, Section, Table, shortened
from rnn_lab.reporting.saved_files import data_uri, read_entries, read_table
from rnn_lab.reporting.svg import draw
from rnn_lab.reporting.worst_rows import SHOWN, worst_rows

ERRORS = {"mse": "MSE", "mae": "MAE", "crps": "CRPS"}
TRANSLATIONS, MAPS, MAX_CLASS_ROWS = 12, 4, 60


def task_sections(folder: Path, rows: Columns, key: str) -> Iterator[Section]:
    """Yield the sections whose files a run has.

    Args:
        folder: The folder of the run.
        rows: What the test has saved of each row; none without such a table.
        key: Identifier of the run in the page.
    """
    yield from _classes(folder, rows)
    yield from _translations(folder)
    yield from _forecasts(folder, key)
    yield from _texts(folder)
    yield from _errors(folder, rows)


def _classes(folder: Path, rows: Columns) -> Iterator[Section]:
    scores = read_table(folder / "per_class.csv")
    labels = [each["label"] for each in scores if "label" in each]
    found = confusion(rows, labels) if rows else None
    caption = "Confusion matrix of the test: true class by predicted class"
    pictures = []
    if found and len(found[0]) <= MAX_CLASSES:
        pictures = [Picture(f"{caption}; colors are fractions of the true class", heat_map(*found))]
    elif uri := data_uri(folder / "confusion_matrix.png"):
        pictures = [Picture(caption, uri=uri)]
    tables = []
    if scores:
        head = [*scores[0]]
        cells = [[each[head[0]], *(_number(each[name]) for name in head[1:])] for each in scores]
        more = len(cells) - MAX_CLASS_ROWS
        left_out = f"; {more:,} more are in per_class.csv" if more > 0 else ""
        caption = f"Scores of each class of the test{left_out}"
        tables = [Table(head, cells[:MAX_CLASS_ROWS], caption=caption)]
    if pictures or tables:
        yield Section("Classes", pictures=pictures, tables=tables)


def _translations(folder: Path) -> Iterator[Section]:
    entries = read_entries(folder / "translations.test.jsonl", TRANSLATIONS)
    entries = entries or [*read_table(folder / "translations.csv", TRANSLATIONS)]
    names = [name for name in ("source", "reference", "translation") if entries]
    tables = []
    if entries:
        cells = [[shortened(str(each.get(name, ""))) for name in names] for each in entries]
        tables = [Table(names, cells, 3, f"The first {len(cells)} sentences")]
    for split in ("test", "valid"):
        paths = [folder / "attention" / f"{split}-{number}.png" for number in range(MAPS)]
        uris = [uri for path in paths if path.exists() and (uri := data_uri(path))]
        if uris:
            break
    saved = [Picture("Attention weights: target token by source token", uri=u) for u in uris]
    pictures = attention_maps(folder) or saved
    if tables or pictures:
        yield Section("Translations", pictures=pictures, tables=tables)


def _forecasts(folder: Path, key: str) -> Iterator[Section]:
    pictures, tables = forecast_windows(folder, key), []
    for name in ("forecasts.png", "forecasts.valid.png"):
        if not pictures and (uri := data_uri(folder / name)):
            split = "validation" if "valid" in name else "test"
            caption = (
                f"Forecasts of windows of the {split} split in the units of the data, with "
                "prediction intervals where the model gives them"
            )
            pictures.append(Picture(caption, uri=uri, wide=True))
            break
    by_step = read_record(folder / "scores.json").get("by_step")
    if isinstance(by_step, dict):
        errors = {ERRORS[name]: each for name, each in by_step.items() if name in ERRORS and each}
        svg = draw(partial(errors_by_step, errors), f"{key}-steps")
        pictures.append(Picture("Errors of the test by forecast step", svg))
    if uri := data_uri(folder / "residuals.png"):
        pictures.append(Picture("Distribution of the residuals of the test", uri=uri))
    backtest = read_table(folder / "backtest" / "backtest.csv")
    if rows := [each for each in backtest if each.get("step") == "all"]:
        head = [name for name in rows[0] if name != "step"]
        cells = [[each[head[0]], *(_number(each[name]) for name in head[1:])] for each in rows]
        tables = [Table(head, cells, caption="Backtest from every origin, scaled values")]
    if pictures or tables:
        yield Section("Forecasts", pictures=pictures, tables=tables)


def _texts(folder: Path) -> Iterator[Section]:
    rows = read_table(folder / "generated.csv", SHOWN)
    if rows:
        cells = [[shortened(cell, 1000) for cell in row.values()] for row in rows]
        yield Section("Generated text", tables=[Table([*rows[0]], cells, len(rows[0]))])


def _errors(folder: Path, rows: Columns) -> Iterator[Section]:
    if misclassified := read_table(folder / "misclassified.csv", SHOWN):
        head = [*misclassified[0]]
        cells = [[shortened(cell) for cell in row.values()] for row in misclassified]
        note = "The most confident errors of the test; more are in misclassified.csv."
        yield Section("Most informative errors", [note], tables=[Table(head, cells, len(head) - 1)])
        return
    entries = read_entries(folder / "translations.test.jsonl")
    sources = {str(each.get("reference")): str(each.get("source", "")) for each in entries}
    if rows and (table := worst_rows(rows, sources)):
        note = f"The rows of the test with the worst results, at most {SHOWN}."
        yield Section("Most informative errors", [note], tables=[table])


def _number(text: str) -> str:
    try:
        value = float(text)
    except ValueError:
        return text
    return text if value.is_integer() and "." not in text else four_digits(value)
