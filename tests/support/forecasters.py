"""All forecasters by name, and batches for them."""

import pytest
import torch

from rnn_lab.models import (
    DeepARForecaster,
    DLinearForecaster,
    DriftForecaster,
    Forecaster,
    LastValueForecaster,
    LSTMForecaster,
    PatchedLSTMForecaster,
    SeasonalNaiveForecaster,
    SegRNNForecaster,
    TransformerForecaster,
)
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.options import (
    EncoderOptions,
    OutputOptions,
)

PAST, HORIZON = 48, 6


FEW_SAMPLES = OutputOptions(num_samples=20)


RECURRENT = {
    "LSTMForecaster": (LSTMForecaster, {}),
    "PatchedLSTMForecaster": (PatchedLSTMForecaster, {}),
    "SegRNNForecaster": (SegRNNForecaster, {}),
    "DeepARForecaster": (DeepARForecaster, {}),
    "counts": (
        Forecaster,
        {
            "decoding": "recursive",
            "num_layers": 2,
            "output": "negative_binomial",
            "encoder": EncoderOptions(normalization="mean"),
            "output_options": FEW_SAMPLES,
        },
    ),
    "Forecaster": (
        Forecaster,
        {"layer": "GRU", "num_layers": 2, "output_options": OutputOptions(loss="huber")},
    ),
    "quantiles": (
        Forecaster,
        {"output": "quantiles", "encoder": EncoderOptions(normalization="last")},
    ),
    "joint": (
        Forecaster,
        {"encoder": EncoderOptions(channel_independent=False, normalization="revin")},
    ),
    "recursive": (Forecaster, {"decoding": "recursive"}),
    "recursive, joint": (
        Forecaster,
        {
            "decoding": "recursive",
            "output": "gaussian",
            "encoder": EncoderOptions(channel_independent=False),
            "output_options": FEW_SAMPLES,
        },
    ),
    "parallel, joint": (
        Forecaster,
        {
            "decoding": "parallel",
            "output": "student_t",
            "encoder": EncoderOptions(channel_independent=False, patch_length=4),
        },
    ),
}


RECURSIVE = ["DeepARForecaster", "counts", "recursive", "recursive, joint"]


TRANSFORMERS = {
    "TransformerForecaster": (TransformerForecaster, {}),
    "Transformer with quantiles": (TransformerForecaster, {"output": "quantiles"}),
}


BASELINES = {
    "LastValueForecaster": (LastValueForecaster, {}),
    "SeasonalNaiveForecaster": (SeasonalNaiveForecaster, {"season_length": 4}),
    "DriftForecaster": (DriftForecaster, {}),
}


LEARNED = [*RECURRENT, *TRANSFORMERS, "DLinearForecaster"]


ALL = [*LEARNED, *BASELINES]


every_forecaster = pytest.mark.parametrize("name", ALL)


every_learned = pytest.mark.parametrize("name", LEARNED)


every_recurrent = pytest.mark.parametrize("name", RECURRENT)


def build(name, channels=3, horizon=HORIZON, more=0, **arguments):
    """Build a model of some channels with `more` covariates."""
    torch.manual_seed(0)
    sizes = {"output_dim": horizon * channels, "horizon": horizon}
    if name in BASELINES:
        cls, own = BASELINES[name]
        return cls(**sizes, **own, **arguments)
    if name == "DLinearForecaster":
        return DLinearForecaster(PAST, **sizes, window=5, **arguments)
    if name in TRANSFORMERS:
        cls, own = TRANSFORMERS[name]
        return cls(PAST, 16, 2, **sizes, **own, **arguments)
    cls, own = RECURRENT[name]
    return cls(channels + more, 16, **sizes, **{**own, **arguments})


def without_dropout(model):
    """Disable dropout."""
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
        elif isinstance(part, torch.nn.RNNBase | torch.nn.MultiheadAttention):
            part.dropout = 0.0
    return model


def batch_of(rows=8, channels=3, known=0, observed=0, statics=0, kinds=0, past=PAST):
    """Windows of counts with covariates."""
    generator = torch.Generator().manual_seed(1)

    def randn(*shape):
        return torch.randn(*shape, generator=generator)

    level = 20 + 5 * randn(rows, 1, channels)
    values = (level + 4 * randn(rows, past + HORIZON, channels)).round().clamp(min=0)
    features = randn(rows, past + HORIZON, known + observed)
    one = torch.ones(rows, channels)
    return WindowBatch(
        values[:, :past],
        values[:, past:],
        features[:, :past],
        features[:, past:, :known],
        randn(rows, statics),
        torch.randint(0, 3, (rows, kinds), generator=generator),
        0 * one,
        one,
        one,
        torch.arange(rows),
    )


def pick(batch, rows):
    return WindowBatch(*(part[rows] for part in batch))


def close(result, expected, **tolerance):
    torch.testing.assert_close(result.point, expected.point, **tolerance)
    assert (result.quantiles is None) == (expected.quantiles is None)
    if result.quantiles is not None:
        torch.testing.assert_close(
            result.quantiles, expected.quantiles, equal_nan=True, **tolerance
        )
