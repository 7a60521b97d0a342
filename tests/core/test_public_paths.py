"""Configs and checkpoints store the shortest path from which a class can be imported."""

from importlib import import_module

import pytest
import torch
import yaml

import rnn_lab
from rnn_lab import datamodules, models, training
from rnn_lab.__main__ import main
from rnn_lab.core.public_paths import public_path
from rnn_lab.nn import LAYERS

PUBLIC = {name: getattr(rnn_lab, name) for name in (*models.__all__, *datamodules.__all__)}


@pytest.mark.parametrize("name", PUBLIC)
def test_models_and_data_modules_have_paths_in_the_top_package(name):
    assert public_path(PUBLIC[name]) == f"rnn_lab.{name}"


@pytest.mark.parametrize(
    ("cls", "path"),
    [
        (torch.optim.Adam, "torch.optim.Adam"),
        (torch.optim.lr_scheduler.StepLR, "torch.optim.lr_scheduler.StepLR"),
        (training.CosineDecay, "rnn_lab.training.CosineDecay"),
        (LAYERS["QRNN"], "rnn_lab.nn.QRNN"),
        (dict, "builtins.dict"),
    ],
)
def test_other_classes_have_paths_in_the_package_that_exports_them(cls, path):
    assert public_path(cls) == path


@pytest.mark.parametrize("cls", [*PUBLIC.values(), training.CosineDecay, *LAYERS.values()])
def test_a_path_imports_its_class(cls):
    module, _, name = public_path(cls).rpartition(".")
    assert getattr(import_module(module), name) is cls


@pytest.mark.slow
@pytest.mark.parametrize("name", models.__all__)
def test_print_config_writes_the_same_path(name, capsys):
    wanted = PUBLIC[name].batch_type
    data = next(d for d in datamodules.__all__ if PUBLIC[d].batch_type is wanted)
    with pytest.raises(SystemExit):
        main(["fit", f"--model={name}", f"--data={data}", "--print_config"])
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["model"]["class_path"] == public_path(PUBLIC[name])
    assert config["data"]["class_path"] == public_path(PUBLIC[data])
