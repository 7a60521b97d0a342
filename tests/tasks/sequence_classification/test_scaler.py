import numpy as np
import pytest

from rnn_lab.errors import UserError
from rnn_lab.tasks.sequence_classification.scaler import StandardScaler

SEQUENCES = [np.array([[1.0, 5.0], [3.0, np.nan]]), np.array([[5.0, 7.0]])]


def test_observed_values_have_zero_mean_and_unit_variance() -> None:
    scaler, notices = StandardScaler.fit(SEQUENCES)
    values = np.concatenate(list(map(scaler.apply, SEQUENCES)))
    np.testing.assert_allclose(values[:, 0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(values[:, 0].std(), 1, rtol=1e-6)
    assert values.dtype == np.float32
    assert values[1, 1] == 0  # a missing value is the mean
    assert notices == []


def test_a_constant_feature_is_centered_but_not_scaled() -> None:
    scaler, notices = StandardScaler.fit([np.array([[1.0, 2.0], [3.0, 2.0]])])
    assert scaler.std[1] == 1
    assert scaler.apply(np.array([[1.0, 2.5]]))[0, 1] == 0.5
    assert notices == ["dimension 2 is constant in the training split: centered, not scaled"]


def test_a_feature_without_values_is_refused() -> None:
    with pytest.raises(UserError, match="dimension 1 has no value in the training split"):
        StandardScaler.fit([np.array([[np.nan, 1.0]])])


def test_a_restored_scaler_is_the_same() -> None:
    scaler, _ = StandardScaler.fit(SEQUENCES)
    restored = StandardScaler.from_state_dict(scaler.state_dict())
    np.testing.assert_array_equal(restored.apply(SEQUENCES[0]), scaler.apply(SEQUENCES[0]))


def test_the_identity_changes_nothing() -> None:
    np.testing.assert_array_equal(
        StandardScaler.identity(2).apply(np.ones((3, 2))), np.ones((3, 2))
    )
