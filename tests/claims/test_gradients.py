"""Gradients of the layer in the best checkpoint of a run."""

from pathlib import Path

import pytest
from torch import nn

from rnn_lab.claims import gradients
from rnn_lab.comparison.saved_run import SavedRun
from rnn_lab.errors import UserError
from rnn_lab.nn import LSTM


def norms(model, monkeypatch, folder):
    monkeypatch.setattr(gradients, "load", lambda path: model)
    return gradients.gradient_norms(SavedRun(Path(folder), {}, {}), 5)


def test_norms_by_distance_start_at_one(monkeypatch):
    found = norms(nn.Sequential(LSTM(2, 4), nn.Linear(4, 1)), monkeypatch, "one")
    assert found[0] == 1
    assert len(found) == 6
    assert all(each > 0 for each in found)


def test_a_model_without_a_recurrent_layer_is_named(monkeypatch):
    with pytest.raises(UserError, match="has no recurrent layer"):
        norms(nn.Linear(2, 2), monkeypatch, "two")
