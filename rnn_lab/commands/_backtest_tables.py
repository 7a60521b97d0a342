"""Tables that a backtest prints: scores of scaled values, and errors in the units of the file."""

import math
from collections.abc import Iterator, Mapping, Sequence

from rnn_lab.io.text_tables import aligned, four_digits
from rnn_lab.tasks.forecasting.backtest import ROLLING, Result

SCORES = {
    "mse": "MSE",
    "mae": "MAE",
    "crps": "CRPS",
    "mase": "MASE",
    "coverage_80": "80% cov.",
    "coverage_95": "95% cov.",
}
SHOWN_TARGETS = 6

Errors = Mapping[str, Mapping[str, Mapping[str, float]]]  # by model, target and name


def score_tables(results: Sequence[Result], errors: Errors) -> str:
    """Return the scores of all models as two aligned tables with titles.

    The errors in the units of the file are MAE and RMSE if there is one target. The units of
    several targets differ: their MAE is in a column for each.

    Args:
        results: Results of the models; rolling intervals follow their model.
        errors: Mean absolute error (`mae`) and root mean squared error (`rmse`) in the units of
            the file, by model and target.
    """
    scores = [["model", *SCORES.values()]]
    for name, metric in results:
        values = {key: float(value) for key, value in metric.compute().items()}
        label = "  rolling intervals" if name.endswith(ROLLING) else name
        scores.append([label, *(_score(key, values[key]) for key in SCORES)])
    title = "mean over all windows, steps and channels; MSE, MAE and CRPS are of scaled values"
    lines = [title, *aligned(scores, left=1), "", *_in_units(errors)]
    return "\n".join(lines)


def _in_units(errors: Errors) -> Iterator[str]:
    """Yield the lines of the table of errors in the units of the file."""
    # Intervals do not change the point forecast.
    models = {name: each for name, each in errors.items() if not name.endswith(ROLLING)}
    targets = list(dict.fromkeys(target for each in models.values() for target in each))
    if len(targets) == 1:
        columns = [(targets[0], "mae", "MAE"), (targets[0], "rmse", "RMSE")]
        yield f"errors of {targets[0]} in the units of the file"
    else:
        columns = [(target, "mae", _shortened(target)) for target in targets[:SHOWN_TARGETS]]
        of = f", {len(columns)} of {len(targets)} targets" if len(columns) < len(targets) else ""
        yield f"MAE of each target in the units of the file{of}"
    rows = [["model", *(heading for *_, heading in columns)]]
    for name, each in models.items():
        values = (each[target][key] if target in each else math.nan for target, key, _ in columns)
        rows.append([name, *("" if math.isnan(v) else four_digits(v) for v in values)])
    yield from aligned(rows, left=1)


def _shortened(name: str) -> str:
    return name if len(name) <= 12 else name[:11] + "…"


def _score(name: str, value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.1%}" if name.startswith("coverage") else four_digits(value)
