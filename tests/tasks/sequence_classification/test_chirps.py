"""Generated waves, labeled by the order of steps."""

import numpy as np
import pytest
import torch
from last_output import LastOutput, accuracy_after_training, pad
from torch import nn

from rnn_lab.errors import UserError
from rnn_lab.tasks.sequence_classification.chirps import CHIRP_LABELS, chirps


def generate_chirps(count: int, seed: int, split: str) -> tuple[list[np.ndarray], list[int]]:
    series, labels = zip(*chirps(count, seed, split), strict=True)
    return list(series), [CHIRP_LABELS.index(label) for label in labels]


def test_chirps_have_the_documented_shape_and_type():
    generated = list(chirps(200, 0, "train", input_dim=3, noise=0))
    assert all(x.dtype == np.float32 and x.shape[1] == 3 for x, _ in generated)
    assert all(12 <= len(x) <= 40 for x, _ in generated)
    assert all(np.abs(x).max() <= 1.5 for x, _ in generated)


def test_two_chirp_channels_are_sine_and_cosine():
    x, _ = next(chirps(1, 0, "train", noise=0))
    amplitude = np.hypot(*x.T)
    np.testing.assert_allclose(amplitude, amplitude[0], rtol=1e-5)


def test_the_label_is_the_change_of_the_frequency():
    for x, label in chirps(40, 0, "train", noise=0):
        phase = np.unwrap(np.arctan2(*x.T.astype(float)))
        frequency = np.diff(phase)
        start, middle, end = frequency[0], frequency[len(frequency) // 2], frequency[-1]
        assert {
            "rising": start < middle < end,
            "falling": start > middle > end,
            "rise then fall": start < middle > end,
            "fall then rise": start > middle < end,
        }[label]


@pytest.mark.parametrize(("option", "value"), [("input_dim", 0), ("noise", -1), ("noise", np.nan)])
def test_invalid_options_are_refused(option, value):
    with pytest.raises(UserError, match=f"{option} must be at least"):
        chirps(1, 0, "train", **{option: value})


@pytest.mark.slow
def test_a_linear_model_of_pooled_moments_fails():
    from sklearn.linear_model import LogisticRegression

    def moments(series: list[np.ndarray]) -> np.ndarray:
        return np.array([np.concatenate([x.mean(0), x.std(0)]) for x in series])

    train, labels = generate_chirps(2_000, 0, "train")
    test, test_labels = generate_chirps(1_000, 0, "test")
    model = LogisticRegression(max_iter=1000).fit(moments(train), labels)
    assert model.score(moments(test), test_labels) < 0.6


@pytest.mark.slow
def test_a_gru_classifies_chirps():
    torch.manual_seed(0)
    train, labels = generate_chirps(2_000, 0, "train")
    test, test_labels = generate_chirps(1_000, 0, "test")
    model = LastOutput(nn.Identity(), nn.GRU(2, 64, batch_first=True), len(CHIRP_LABELS))
    accuracy = accuracy_after_training(
        model,
        pad([torch.from_numpy(x) for x in train], labels),
        pad([torch.from_numpy(x) for x in test], test_labels),
        epochs=8,
    )
    assert accuracy > 0.95
