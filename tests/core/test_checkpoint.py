"""A checkpoint is read once while it is in use, and refused in one line if it is unreadable."""

import gc
import inspect
import os
import weakref

import handmade
import pytest
import torch

from rnn_lab.commands._checks import concrete_subclasses
from rnn_lab.core.checkpoint import FORMAT, Checkpoint, DamagedCheckpoint
from rnn_lab.core.datamodule import LabDataModule
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
    reference = weakref.ref(checkpoint)
    assert checkpoint in Checkpoint._open.values()
    del checkpoint
    gc.collect()  # other checkpoints may be freed, too
    assert reference() is None


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


@pytest.mark.parametrize("name", ["train", "valid", "test", "root", "vectors"])
def test_local_paths_of_data_are_dropped(name, path):
    data = {"class_path": "rnn_lab.TextFiles", "init_args": {name: "/etc/passwd", "batch_size": 3}}
    torch.save(handmade.content(data=data), path)
    assert Checkpoint.open(path).data["init_args"] == {"batch_size": 3}


def test_every_argument_of_data_that_takes_a_path_is_local():
    words = {"root", "file", "train", "valid", "test", "vectors", "vocab_from_checkpoint"}
    for cls in concrete_subclasses(LabDataModule).values():
        if cls.__module__.startswith("rnn_lab."):
            arguments = words & inspect.signature(cls).parameters.keys()
            assert arguments <= set(cls.machine_specific), cls


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"hidden_dim": torch.ones(2)}, "init_args of its model has a Tensor"),
        ({"hidden_dim": [{3: 4}]}, "init_args of its model has a name that is no string"),
        ({"num_layers": True}, "num_layers of LSTMClassifier in .* cannot be True"),
        ({"embedding_dim": "8"}, "embedding_dim of LSTMClassifier in .* cannot be '8'"),
    ],
)
def test_arguments_of_other_types_are_refused(model, message, path):
    torch.save(handmade.content({**handmade.MODEL, "init_args": model}), path)
    with pytest.raises(UserError, match=message):
        Checkpoint.open(path)


def test_labels_are_strings(path):
    data = {"class_path": "rnn_lab.TextFiles", "init_args": {}, "labels": ["a", ["b"]]}
    torch.save(handmade.content(data=data), path)
    with pytest.raises(UserError, match="its labels are no list of strings"):
        Checkpoint.open(path)


def test_a_demonstration_of_a_library_is_no_model(path):
    name = "lightning.pytorch.demos.boring_classes.BoringModel"
    torch.save(handmade.content({"class_path": name, "init_args": {}}), path)
    with pytest.raises(UserError, match="BoringModel, which rnn_lab does not train"):
        Checkpoint.open(path)
