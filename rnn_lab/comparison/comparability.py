"""Reasons why runs may not be comparable."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from rnn_lab.comparison.options import differing
from rnn_lab.comparison.saved_run import SavedRun


def unlike(runs: Sequence[SavedRun]) -> Iterator[str]:
    """Yield what is unlike between runs: their state, data, splits and processors."""
    for run in runs:
        state = run.state.get("state", "finished")
        if state != "finished":
            yield f"{run.folder} has not finished: {state}"
    if len(_known(runs, "data", "version")) > 1:
        yield "the runs were trained on different versions of the data"
    if len(rows := _known(runs, "data", "train_rows")) > 1:
        yield f"the runs were trained on different numbers of rows ({', '.join(rows)})"
    options = differing([run.options for run in runs])
    if split := [name for name in options if name.startswith("data.split")]:
        yield f"the runs differ in how the data are split: {', '.join(split)}"
    if len(processors := _known(runs, "environment", "processor")) > 1:
        yield (
            "times are not comparable, since the runs were trained on different processors "
            f"({', '.join(processors)})"
        )


def _known(runs: Sequence[SavedRun], part: str, name: str) -> list[str]:
    """Return the distinct values of a field of `cost.json`."""
    values = {str(run.cost.get(part, {}).get(name, "")) for run in runs}
    return sorted(values - {"", "None"})


def unlike_within(groups: Mapping[str, Sequence[SavedRun]]) -> Iterator[str]:
    """Yield what is unlike within a group, whose runs should differ in their seeds alone.

    Args:
        groups: Runs by the value that they have in common.
    """
    for group, runs in groups.items():
        options = differing([run.options for run in runs])
        shown = [f"{name} ({', '.join(sorted({*values}))})" for name, values in options.items()]
        if shown:
            yield (
                f"the runs of {group} also differ in {'; '.join(shown)}: their spread is not that "
                "of seeds alone"
            )
            continue
        for seed, count in Counter(run.seed for run in runs).items():
            if count > 1:
                yield f"{count} runs of {group} have the seed {seed}"
