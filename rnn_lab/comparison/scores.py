"""Test scores as functions of sums of counts, of which a test saves some for each row.

The score of any rows, drawn once or several times, follows from the sum of their counts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

Columns = Mapping[str, np.ndarray]  # of a saved table, by name
ERRORS = ("mse", "mae", "smape", "mase", "crps")  # of a window of a forecast


@dataclass(frozen=True)
class Counts:
    """What a score is computed from.

    Attributes:
        rows: Counts of each row, `(rows, counts)` float64.
        score: Score of sums of counts, `(..., counts)` to `(...)`.
    """

    rows: np.ndarray
    score: Callable[[np.ndarray], np.ndarray]


def higher_is_better(metric: str) -> bool:
    """Return whether a higher score is better.

    Example:
        >>> [higher_is_better(name) for name in ("test/accuracy", "test/loss", "test/mse")]
        [True, False, False]
    """
    lower = {*ERRORS, "loss", "ter", "rmse"}
    name = metric.rpartition("/")[2]
    return name not in lower and not name.startswith(("perplexity", "bits_per", "width"))


def counts_of(metric: str, columns: Columns) -> Counts | None:
    """Return the counts of a score.

    Args:
        metric: Its name, such as `test/accuracy`.
        columns: The table that the test has saved.

    Returns:
        The counts; None if the table does not have them.
    """
    name = metric.rpartition("/")[2]
    if f"{name}_counts" in columns:
        return _of_sentences(name, columns)
    if {name, "values"} <= columns.keys():
        return _mean_error(name, columns)
    if {"tokens", "nll"} <= columns.keys():
        return _of_likelihoods(name, columns)
    if {"steps", "correct"} <= columns.keys():
        return _accuracy_of_steps(columns) if name == "accuracy" else None
    if "target" not in columns or "prediction" not in columns:
        return None
    if columns["target"].dtype.kind == "f" or isinstance(columns["target"][0], np.ndarray):
        return _of_regression(name, columns)
    kinds = {"accuracy": _accuracy, "f1": _macro_f1} if _is_text(columns["target"]) else {}
    return kinds[name](columns) if name in kinds else None


def _is_text(values: np.ndarray) -> bool:
    return isinstance(values[0], str)


def mean(counts: np.ndarray) -> np.ndarray:
    """Divide the first count by the second."""
    return counts[..., 0] / counts[..., 1]


def _accuracy(columns: Columns) -> Counts:
    correct = columns["target"] == columns["prediction"]
    return Counts(np.stack([correct, np.ones(len(correct))], 1).astype(np.float64), mean)


def _accuracy_of_steps(columns: Columns) -> Counts:
    rows = np.stack([columns["correct"], columns["steps"]], 1)
    return Counts(rows.astype(np.float64), mean)


def _of_likelihoods(name: str, columns: Columns) -> Counts | None:
    """Compute scores of language models from negative log-likelihoods in nats."""
    scores: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "loss": mean,
        "perplexity": lambda counts: np.exp(mean(counts)),
        "bits_per_token": lambda counts: mean(counts) / np.log(2),
        "bits_per_character": lambda counts: mean(counts) / np.log(2),
    }
    if name not in scores:
        return None
    rows = np.stack([columns["nll"], columns["tokens"]], 1)
    return Counts(rows.astype(np.float64), scores[name])


def _macro_f1(columns: Columns) -> Counts:
    """Count true positives, false positives and false negatives of each class."""
    labels = np.concatenate([columns["target"], columns["prediction"]])
    names, codes = np.unique(labels.astype(str), return_inverse=True)
    target, predicted = codes.reshape(2, -1)
    one_hot = np.eye(len(names))
    hits = one_hot[target] * (target == predicted)[:, None]
    rows = np.concatenate([hits, one_hot[predicted] - hits, one_hot[target] - hits], 1)
    return Counts(rows, _f1_of_counts)


def _f1_of_counts(counts: np.ndarray) -> np.ndarray:
    hits, false, missed = np.split(counts, 3, axis=-1)
    size = 2 * hits + false + missed
    values = np.divide(2 * hits, size, out=np.zeros_like(hits), where=size > 0)
    return values.sum(-1) / np.maximum((size > 0).sum(-1), 1)  # absent classes do not count


def _of_regression(name: str, columns: Columns) -> Counts | None:
    target, predicted = (np.stack(list(columns[key])) for key in ("target", "prediction"))
    error = (predicted.astype(np.float64) - target).reshape(len(target), -1)
    values = {"mse": error**2, "mae": np.abs(error)}.get(name)
    if values is None:
        return None
    return Counts(np.stack([values.sum(1), np.full(len(values), values.shape[1])], 1), mean)


def _mean_error(name: str, columns: Columns) -> Counts:
    """Weight the error of each window by its number of observed values."""
    error, values = columns[name].astype(np.float64), columns["values"]
    weights = np.where(np.isnan(error), 0.0, values)
    return Counts(np.stack([np.nan_to_num(error) * weights, weights], 1), mean)


def _of_sentences(name: str, columns: Columns) -> Counts:
    """Take the counts of sacrebleu, and compute scores with it."""
    rows = np.stack(list(columns[f"{name}_counts"])).astype(np.float64)
    return Counts(rows, mean if name == "exact_match" else partial(_sacrebleu, name))


def _sacrebleu(name: str, counts: np.ndarray) -> np.ndarray:
    from sacrebleu.metrics import BLEU, CHRF, TER

    scorers = {"chrf": CHRF, "ter": TER}
    scorer = scorers[name]() if name in scorers else BLEU(force=True)
    flat = counts.reshape(-1, counts.shape[-1]).astype(np.int64).tolist()
    scores = [scorer._compute_score_from_stats(each).score for each in flat]
    return np.array(scores).reshape(counts.shape[:-1])
