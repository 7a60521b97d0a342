"""Generated waves, whose label depends on the order of steps."""

import numpy as np
import pytest
import torch
from last_output import LastOutput, accuracy_after_training, pad
from torch import nn

from rnn_lab.errors import UserError
from rnn_lab.tasks.sequence_classification.chirps import CHIRP_LABELS, chirps


def draw_chirps(count: int, seed: int, split: str) -> tuple[list[np.ndarray], list[int]]:
    series, labels = zip(*chirps(count, seed, split), strict=True)
    return list(series), [CHIRP_LABELS.index(label) for label in labels]


def test_chirps_have_the_shape_and_type_they_promise():
    drawn = list(chirps(200, 0, "train", input_dim=3, noise=0))
    assert all(x.dtype == np.float32 and x.shape[1] == 3 for x, _ in drawn)
    assert all(12 <= len(x) <= 40 for x, _ in drawn)
    assert all(np.abs(x).max() <= 1.5 for x, _ in drawn)


def test_two_chirp_channels_are_sine_and_cosine():
    x, _ = next(chirps(1, 0, "train", noise=0))
    loudness = np.hypot(*x.T)
    np.testing.assert_allclose(loudness, loudness[0], rtol=1e-5)


def test_the_label_of_a_chirp_tells_how_its_pitch_moves():
    for x, label in chirps(40, 0, "train", noise=0):
        turns = np.unwrap(np.arctan2(*x.T.astype(float)))
        pitch = np.diff(turns)
        start, middle, end = pitch[0], pitch[len(pitch) // 2], pitch[-1]
        assert {
            "rising": start < middle < end,
            "falling": start > middle > end,
            "rise then fall": start < middle > end,
            "fall then rise": start > middle < end,
        }[label]


@pytest.mark.parametrize(("option", "value"), [("input_dim", 0), ("noise", -1), ("noise", np.nan)])
def test_an_impossible_chirp_is_refused(option, value):
    with pytest.raises(UserError, match=f"{option} must be at least"):
        chirps(1, 0, "train", **{option: value})


@pytest.mark.slow
def test_pooled_moments_do_not_tell_chirps_apart():
    from sklearn.linear_model import LogisticRegression

    def moments(series: list[np.ndarray]) -> np.ndarray:
        return np.array([np.concatenate([x.mean(0), x.std(0)]) for x in series])

    train, labels = draw_chirps(2_000, 0, "train")
    test, test_labels = draw_chirps(1_000, 0, "test")
    model = LogisticRegression(max_iter=1000).fit(moments(train), labels)
    assert model.score(moments(test), test_labels) < 0.6


@pytest.mark.slow
def test_a_gru_tells_chirps_apart():
    torch.manual_seed(0)
    train, labels = draw_chirps(2_000, 0, "train")
    test, test_labels = draw_chirps(1_000, 0, "test")
    model = LastOutput(nn.Identity(), nn.GRU(2, 64, batch_first=True), len(CHIRP_LABELS))
    passed = accuracy_after_training(
        model,
        pad([torch.from_numpy(x) for x in train], labels),
        pad([torch.from_numpy(x) for x in test], test_labels),
        epochs=8,
    )
    assert passed > 0.95
