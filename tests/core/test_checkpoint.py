"""A checkpoint is read once while it is in use, and refused in one line if it is unreadable."""

import gc
import os

import handmade
import pytest
import torch

from rnn_lab.core import checkpoint as module
from rnn_lab.core.checkpoint import FORMAT, Checkpoint, DamagedCheckpoint
from rnn_lab.errors import UserError


@pytest.fixture
def path(tmp_path):
    torch.save(handmade.content(weight=torch.ones(3)), tmp_path / "a.ckpt")
    return tmp_path / "a.ckpt"


def test_opening_a_file_again_returns_the_same_object(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    checkpoint = Checkpoint.open(path)
    assert Checkpoint.open("a.ckpt") is checkpoint
    assert Checkpoint.open(str(path)) is checkpoint


def test_a_checkpoint_is_freed_with_its_last_reference(path):
    checkpoint = Checkpoint.open(path)
    before = len(Checkpoint._open)
    del checkpoint
    gc.collect()
    assert len(Checkpoint._open) == before - 1


def test_a_replaced_file_is_read_again(path):
    checkpoint = Checkpoint.open(path)
    torch.save(handmade.content(weight=torch.zeros(3)), path.with_name("b.ckpt"))
    os.replace(path.with_name("b.ckpt"), path)
    again = Checkpoint.open(path)
    assert again is not checkpoint
    assert again.weights["weight"].tolist() == [0, 0, 0]


def test_a_checkpoint_names_its_model_and_whether_it_has_data(path):
    checkpoint = Checkpoint.open(path)
    assert checkpoint.model_name == "LSTMClassifier"
    assert not checkpoint.has_data
    with pytest.raises(UserError, match="trained without a data module"):
        checkpoint.data  # noqa: B018


@pytest.mark.parametrize("other", [None, FORMAT + 1, "1", 0])
def test_another_format_version_is_refused(path, other):
    content = handmade.content()
    content["rnn_lab"]["format"] = other
    torch.save(content, path)
    with pytest.raises(UserError, match="saved in another format by another version of rnn_lab"):
        Checkpoint.open(path)


def test_damaged_files_differ_from_checkpoints_of_other_projects(path):
    torch.save({"state_dict": {}}, path)
    with pytest.raises(UserError, match="another project") as error:
        Checkpoint.open(path)
    assert not isinstance(error.value, DamagedCheckpoint)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DamagedCheckpoint, match="not a checkpoint, or a damaged one"):
        Checkpoint.open(path)


def test_an_error_while_restoring_names_the_file(path):
    def build(state):
        return state["absent"]

    with pytest.raises(UserError, match=r"a\.ckpt is damaged, .* cannot be restored: KeyError"):
        Checkpoint.open(path).restore(build, {})
    assert module.is_intact(path)
