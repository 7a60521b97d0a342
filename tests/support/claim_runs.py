"""Claims with runs that are written without training."""

from rnn_lab.claims.claim import Claim, FigureOptions
from rnn_lab.claims.hypothesis import Hypothesis


def hypothesis(metric="test/accuracy", direction="higher", **options):
    """Return the hypothesis that a GRU is better than an LSTM."""
    return Hypothesis("a GRU is better", metric, "GRU", "LSTM", direction, **options)


def claim(*hypotheses, kind="scores", metric="test/accuracy", **options):
    """Return a claim on a GRU and an LSTM."""
    return Claim(
        **{"name": "gru", "sentence": "A GRU is better", "section": "GRU", "setting": "Reviews."},
        **{"config": "demo", "variants": {"LSTM": {}, "GRU": {}}},
        hypotheses=hypotheses or (hypothesis(),),
        figure=FigureOptions(kind, metric, **options),
    )


def folders(root, values):
    """Return the folders that `saved_runs.experiment` wrote, by variant."""
    return {
        name: [root / f"{name}-{seed}" for seed in range(1, len(each) + 1)]
        for name, each in values.items()
    }
