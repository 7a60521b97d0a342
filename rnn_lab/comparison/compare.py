"""Compare groups of runs, which differ in an option and have one run for each seed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnn_lab.comparison import statistics
from rnn_lab.comparison.comparability import unlike, unlike_within
from rnn_lab.comparison.options import ABSENT, differing, labels
from rnn_lab.comparison.rows import Units, read_rows, same_rows, units_of
from rnn_lab.comparison.saved_run import SavedRun
from rnn_lab.comparison.scores import counts_of
from rnn_lab.errors import UserError

MIN_INDEPENDENT = 10  # units; a test of fewer rejects too many equal pairs
TOLERANCE = 1e-3  # by which a score may differ from that of the saved rows, relatively
COSTS = ("seconds", "processor_seconds", "parameters", "peak_memory")


@dataclass(frozen=True)
class Group:
    """Runs with the same value of the options that are compared.

    Attributes:
        value: The value.
        runs: The runs, by seed.
        scores: The score of each run.
        difference: That of the mean score from the mean of the reference; None if there is no
            reference, or if nothing is known about its variance.
        p_value: Adjusted for the number of groups; None without a difference.
        diebold_mariano: The p-value of this test of the mean losses by origin, adjusted in the same
            way; None if the runs do not forecast.
    """

    value: str
    runs: list[SavedRun]
    scores: list[float]
    difference: statistics.Difference | None = None
    p_value: float | None = None
    diebold_mariano: float | None = None

    @property
    def mean(self) -> float:
        """Mean score."""
        return float(np.mean(self.scores))

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds; None for a single run."""
        return float(np.std(self.scores, ddof=1)) if len(self.scores) > 1 else None

    def cost(self, name: str) -> float | None:
        """Return the mean of a cost over the runs that recorded it; None if none did."""
        values = [run.cost[name] for run in self.runs if run.cost.get(name) is not None]
        return float(np.mean(values)) if values else None

    @property
    def targets_per_second(self) -> float | None:
        """Mean over the runs that recorded it; None if none did."""
        rates = [each for run in self.runs if (each := run.targets_per_second) is not None]
        return float(np.mean(rates)) if rates else None


@dataclass(frozen=True)
class Comparison:
    """Groups of runs with their differences.

    Attributes:
        by: The options whose values make the groups.
        metric: The score.
        against: Value of the reference; None without one.
        groups: The groups.
        others: Further options in which the groups differ, with their values by group.
        units: What was resampled; None if the variance over rows is not known.
        confidence: Coverage of the intervals.
        warnings: Why runs may not be comparable.
    """

    by: list[str]
    metric: str
    against: str | None
    groups: list[Group]
    others: dict[str, list[str]]
    units: Units | None
    confidence: float
    warnings: list[str]


class _Rows(NamedTuple):
    """Counts of all runs on the same units."""

    units: Units
    counts: dict[Path, np.ndarray]  # (units, counts), by the folder of the run
    score: statistics.Score


def compare(
    runs: Sequence[SavedRun],
    by: Sequence[str] = (),
    metric: str | None = None,
    against: str | None = None,
    confidence: float = 0.95,
) -> Comparison:
    """Compare runs.

    Args:
        runs: The runs; those without a test are left out.
        by: Options whose values make the groups; none for all in which the runs differ.
        metric: Score of the test; None for that of the task.
        against: Value of the group from which the others differ; None for no differences.
        confidence: Coverage of the intervals.

    Raises:
        UserError: If fewer than two runs are left, or if there is no such option, metric or value.
    """
    warnings = [
        f"{run.folder} has no test scores and is left out: rnn-lab test "
        f"--ckpt_path={run.folder}/checkpoints/best.ckpt"
        for run in runs
        if not run.scores
    ]
    tested = [run for run in runs if run.scores]
    if len(tested) < 2:
        raise UserError("; ".join(["a comparison needs two tested runs", *warnings]))
    metric = _metric(tested, metric)
    by = _options(tested, by)
    groups = _groups(tested, by, metric)
    reference = _reference(groups, against)
    rows = _rows(tested, metric, warnings)
    warnings += [*unlike(tested), *unlike_within({group.value: group.runs for group in groups})]
    if reference is not None:
        groups = _with_differences(groups, reference, rows, confidence)
    others = _others(groups, by)
    units = rows.units if rows else None
    value = reference.value if reference else None
    return Comparison([*by], metric, value, groups, others, units, confidence, warnings)


def _metric(runs: Sequence[SavedRun], metric: str | None) -> str:
    common = [name for name in runs[0].scores if all(name in run.scores for run in runs)]
    if not common:
        first = next(run for run in runs if not {*run.scores} & {*runs[0].scores})
        raise UserError(
            f"{runs[0].folder} and {first.folder} have no test score in common: they are runs of "
            "different tasks"
        )
    if metric is None:
        own = next((name for run in runs if (name := run.state.get("test_metric")) in common), None)
        return str(own or common[0])
    name = metric if metric.startswith("test/") else f"test/{metric}"
    if name not in common:
        raise UserError(_unknown("--metric", metric, common, "the runs have in common"))
    return name


def _options(runs: Sequence[SavedRun], by: Sequence[str]) -> Sequence[str]:
    if not by:
        return [*differing([run.options for run in runs])]
    known = {name for run in runs for name in run.options}
    for name in by:
        if name not in known:
            raise UserError(_unknown("--by", name, sorted(known), "the runs have"))
    return by


def _unknown(option: str, given: str, known: Sequence[str], owners: str) -> str:
    near = get_close_matches(given, known, 3, 0.5) or known
    shown = ", ".join(near[:8]) + (", ..." if len(near) > 8 else "")
    return f"{option}={given} is not one of those that {owners}: {shown}"


def _groups(runs: Sequence[SavedRun], by: Sequence[str], metric: str) -> list[Group]:
    members: dict[str, list[SavedRun]] = {}
    names = labels([run.options for run in runs], by) if by else ["all runs"] * len(runs)
    for name, run in zip(names, runs, strict=True):
        members.setdefault(name, []).append(run)
    ordered = {value: sorted(each, key=_by_seed) for value, each in members.items()}
    return [
        Group(value, each, [run.scores[metric] for run in each]) for value, each in ordered.items()
    ]


def _others(groups: Sequence[Group], by: Sequence[str]) -> dict[str, list[str]]:
    """Return further options in which groups differ.

    Between different models, or data, an option that only some of them have is no difference.
    """
    found = differing([group.runs[0].options for group in groups])
    others = {name: values for name, values in found.items() if name not in by}
    return {
        name: values
        for name, values in others.items()
        if name.partition(".")[0] not in found or len({*values} - {ABSENT}) > 1
    }


def _by_seed(run: SavedRun) -> tuple[float, str]:
    try:
        return float(run.seed), str(run.folder)
    except ValueError:
        return 0.0, str(run.folder)


def _reference(groups: Sequence[Group], against: str | None) -> Group | None:
    if against is None:
        return None
    values = {group.value: group for group in groups}
    if against not in values:
        raise UserError(_unknown("--against", against, [*values], "are compared"))
    return values[against]


def _rows(runs: Sequence[SavedRun], metric: str, warnings: list[str]) -> _Rows | None:
    """Read the saved rows of all runs; without those of all, differences use the seeds alone."""
    counts, first = {}, None
    for run in runs:
        table = read_rows(run)
        if not table:
            warnings.append(
                f"{run.folder} has no readable {run.items.name}: the variance over rows of the "
                "test is not taken into account"
            )
            return None
        if first is not None and not same_rows(first, table):
            raise UserError(
                f"{runs[0].folder} and {run.folder} were tested on different rows: they are not "
                "comparable"
            )
        found = counts_of(metric, table)
        if found is None:
            warnings.append(
                f"{metric} cannot be computed from saved rows: their variance is not taken into "
                "account"
            )
            return None
        if not np.isclose(found.score(found.rows.sum(0)), run.scores[metric], TOLERANCE, 1e-6):
            raise UserError(
                f"the saved rows of {run.folder} are those of another test than its scores: run "
                f"rnn-lab test --ckpt_path={run.folder}/checkpoints/best.ckpt"
            )
        if first is None:
            first, units = table, units_of(table, run.options)
        counts[run.folder] = found
    if statistics.independent_units(units.count, units.overlap) < MIN_INDEPENDENT:
        how = "overlap" if units.name == "origins" else "neighbors depend on each other"
        overlapping = f", of which {units.overlap} {how}" * (units.overlap > 1)
        warnings.append(
            f"the test has only {units.count:,} {units.name}{overlapping}: too few to take their "
            "variance into account"
        )
        return None
    summed = {folder: units.sum(each.rows) for folder, each in counts.items()}
    return _Rows(units, summed, next(iter(counts.values())).score)


def _with_differences(
    groups: Sequence[Group], reference: Group, rows: _Rows | None, confidence: float
) -> list[Group]:
    others = [group for group in groups if group is not reference]
    covariances = _Covariances(groups, rows)
    found = [covariances.difference(group, reference, confidence) for group in others]
    known = [each.p_value for each in found if each is not None]
    adjusted = iter(statistics.holm(known))
    forecasts = iter(_diebold_mariano(others, reference, rows))
    changed = {
        group.value: replace(
            group,
            difference=each,
            p_value=None if each is None else next(adjusted),
            diebold_mariano=next(forecasts, None),
        )
        for group, each in zip(others, found, strict=True)
    }
    return [changed.get(group.value, group) for group in groups]


class _Covariances:
    """Covariances of the scores of all runs over the units of the test."""

    def __init__(self, groups: Sequence[Group], rows: _Rows | None) -> None:
        folders = [run.folder for group in groups for run in group.runs]
        self._places = {folder: number for number, folder in enumerate(folders)}
        self._estimates: list[np.ndarray] = []
        self._independent = 0
        if rows is not None:
            units, counts = rows.units, [rows.counts[folder] for folder in folders]
            self._independent = statistics.independent_units(units.count, units.overlap)
            self._estimates = statistics.covariances_over_units(counts, rows.score, units.overlap)

    def difference(
        self, group: Group, reference: Group, confidence: float
    ) -> statistics.Difference | None:
        """Compare a group with the reference; None if nothing is known about the variance."""
        scores = [group.scores, reference.scores]
        if not self._estimates and min(map(len, scores)) == 1:
            return None
        chosen = [self._places[run.folder] for run in (*group.runs, *reference.runs)]
        parts = [each[np.ix_(chosen, chosen)] for each in self._estimates]
        return statistics.difference(scores, parts, self._independent, confidence)


def _diebold_mariano(groups: Sequence[Group], reference: Group, rows: _Rows | None) -> list[float]:
    """Return the adjusted p-value of each group; empty if the runs do not forecast."""
    if rows is None or rows.units.name != "origins":
        return []

    def losses(group: Group) -> np.ndarray:
        return np.mean([rows.score(rows.counts[run.folder]) for run in group.runs], 0)

    baseline, overlap = losses(reference), rows.units.overlap
    return statistics.holm(
        [statistics.diebold_mariano(losses(group), baseline, overlap) for group in groups]
    )
