"""Gradients of the layer in the best checkpoint of a run."""

from pathlib import Path

import pytest
from torch import nn

from rnn_lab.__main__ import main
from rnn_lab.claims import gradients
from rnn_lab.comparison.saved_run import SavedRun, read_run
from rnn_lab.errors import UserError


def test_norms_by_distance_are_those_of_a_saved_run(tmp_path):
    sizes = ("--data.length=9", "--data.train_size=32", "--data.valid_size=8")
    line = ("--model=SequenceRegressor", "--data=AddingProblem", "--model.hidden_dim=4", *sizes)
    folder = (f"--trainer.default_root_dir={tmp_path}", "--trainer.accelerator=cpu")
    assert main(["fit", *line, *folder, "--trainer.max_epochs=1"]) == 0
    found = gradients.gradient_norms(read_run(tmp_path), 5)
    assert found[0] == 1
    assert len(found) == 6
    assert all(each > 0 for each in found)


def test_a_model_without_a_recurrent_layer_is_named(monkeypatch):
    monkeypatch.setattr(gradients.Checkpoint, "open", lambda path: path)
    monkeypatch.setattr(gradients, "load_task", lambda checkpoint: nn.Linear(2, 2))
    with pytest.raises(UserError, match="has no recurrent layer"):
        gradients.gradient_norms(SavedRun(Path("absent"), {}, {}), 5)
