"""What a sweep leaves behind: `sweep.csv`, `best.yaml` and two figures."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from optuna.trial import FrozenTrial

from rnn_lab.errors import UserError
from rnn_lab.io.atomic import atomic_path
from rnn_lab.io.run_files import CONFIG, COST, read_record
from rnn_lab.io.text_tables import four_digits
from rnn_lab.sweeps.study import Study

TABLE, BEST = "sweep.csv", "best.yaml"
PLACES = ("experiment", "name", "ckpt_path", "test")  # options of a run, not of what is trained


def write_table(study: Study) -> Path:
    """Write a row for each trial: number, state, value, epoch, seconds and options.

    Raises:
        UserError: If the file cannot be written.
    """
    path = study.folder / TABLE
    options = list(study.space)
    try:
        with atomic_path(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            head = ["trial", "state", study.settings.metric, "epoch", "seconds", *options]
            writer.writerow(head)
            for trial in study.trials():
                writer.writerow(_row(study, trial, options))
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def _row(study: Study, trial: FrozenTrial, options: Sequence[str]) -> list[Any]:
    seconds = read_record(study.folder / f"trial-{trial.number}" / COST).get("seconds", "")
    value = "" if trial.value is None else trial.value
    last = max(trial.intermediate_values, default="")
    values = (trial.params.get(name, "") for name in options)
    return [trial.number, trial.state.name.lower(), value, last, seconds, *values]


def write_best(study: Study, trial: FrozenTrial) -> Path:
    """Write the config of a trial, which `rnn-lab fit -c` takes.

    Raises:
        UserError: If the file cannot be written.
    """
    path, source = study.folder / BEST, study.folder / f"trial-{trial.number}" / CONFIG
    try:
        config = yaml.safe_load(source.read_text(encoding="utf-8"))
        kept = {name: value for name, value in config.items() if name not in PLACES}
        kept["trainer"].pop("default_root_dir", None)
        head = (
            f"# Trial {trial.number} of {len(study.trials())}: {study.settings.metric} "
            f"{four_digits(trial.value or 0.0)}, optimistic since it was chosen by it\n"
        )
        with atomic_path(path) as part:
            part.write_text(head + yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def numeric(values: Sequence[Any]) -> tuple[list[float], Mapping[float, str] | None]:
    """Return values as numbers, with the names of categories by number.

    Example:
        >>> numeric(["GRU", "LSTM", "GRU"])
        ([0.0, 1.0, 0.0], {0.0: 'GRU', 1.0: 'LSTM'})
        >>> numeric([1, 2.5])
        ([1.0, 2.5], None)
    """
    if all(isinstance(each, int | float) and not isinstance(each, bool) for each in values):
        return [float(each) for each in values], None
    names = sorted({str(each) for each in values})
    places = {name: float(number) for number, name in enumerate(names)}
    return [places[str(each)] for each in values], {v: k for k, v in places.items()}
