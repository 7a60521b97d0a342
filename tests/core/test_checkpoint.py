"""A checkpoint is read once while it is in use, and refused in one line where it cannot be read."""

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


def test_the_same_file_is_the_same_object_while_it_is_in_use(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    opened = Checkpoint.open(path)
    assert Checkpoint.open("a.ckpt") is opened
    assert Checkpoint.open(str(path)) is opened


def test_it_is_let_go_of_with_its_last_user(path):
    opened = Checkpoint.open(path)
    before = len(Checkpoint._open)
    del opened
    gc.collect()
    assert len(Checkpoint._open) == before - 1


def test_a_file_that_was_written_anew_is_read_anew(path):
    opened = Checkpoint.open(path)
    torch.save(handmade.content(weight=torch.zeros(3)), path.with_name("b.ckpt"))
    os.replace(path.with_name("b.ckpt"), path)
    again = Checkpoint.open(path)
    assert again is not opened
    assert again.weights["weight"].tolist() == [0, 0, 0]


def test_it_states_what_it_is_of(path):
    opened = Checkpoint.open(path)
    assert opened.model_name == "LSTMClassifier"
    assert not opened.has_data
    with pytest.raises(UserError, match="trained without a data module"):
        opened.data  # noqa: B018


@pytest.mark.parametrize("other", [None, FORMAT + 1, "1", 0])
def test_another_format_is_refused(path, other):
    content = handmade.content()
    content["rnn_lab"]["format"] = other
    torch.save(content, path)
    with pytest.raises(UserError, match="saved in another format by another version of rnn_lab"):
        Checkpoint.open(path)


def test_damage_is_told_from_what_is_of_others(path):
    torch.save({"state_dict": {}}, path)
    with pytest.raises(UserError, match="another project") as found:
        Checkpoint.open(path)
    assert not isinstance(found.value, DamagedCheckpoint)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DamagedCheckpoint, match="not a checkpoint, or a damaged one"):
        Checkpoint.open(path)


def test_a_description_of_another_form_names_the_file(path):
    def build(state):
        return state["absent"]

    with pytest.raises(UserError, match=r"a\.ckpt is damaged, .* cannot be restored: KeyError"):
        Checkpoint.open(path).restore(build, {})
    assert module.is_intact(path)
