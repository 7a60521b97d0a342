"""The classes named on the command line."""

import sys
from pathlib import Path

import pytest
from handmade import write
from lightning import LightningDataModule, LightningModule

from rnn_lab.commands._named_classes import NamedClasses
from rnn_lab.commands._parsing import split_options
from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.core.task import Task
from rnn_lab.errors import UserError

pytestmark = pytest.mark.usefixtures("empty_folder")
SOURCE = """
from lightning import LightningDataModule, LightningModule
class Model(LightningModule): pass
class Data(LightningDataModule): pass
"""


@pytest.fixture
def user_module(empty_folder, monkeypatch):
    """Create a module of the user's own and return its name."""
    Path("named_by_user.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(empty_folder)
    yield "named_by_user"
    sys.modules.pop("named_by_user", None)


def named(*args, command="fit"):
    return NamedClasses(command, split_options(args))


def test_short_names_are_left_to_the_parser():
    classes = named("--model=LSTMClassifier", "--data", "SyntheticReviews")
    assert classes.get("model") is classes.get("data") is None
    assert (classes.model_base, classes.data_base) == (Task, LabDataModule)


def test_a_class_path_in_an_option_is_imported(user_module):
    classes = named(f"--model={user_module}.Model", "--data.class_path", f"{user_module}.Data")
    assert classes.get("model").__name__ == "Model"
    assert classes.get("data").__name__ == "Data"
    assert (classes.model_base, classes.data_base) == (LightningModule, LightningDataModule)


def test_a_class_path_in_a_config_is_imported_and_overridden_by_an_option(user_module):
    Path("a.yaml").write_text(
        f"model: {{class_path: {user_module}.Model}}\ndata: {user_module}.Data"
    )
    assert named("-c", "a.yaml").get("data").__name__ == "Data"
    classes = named("--model=rnn_lab.models.LSTMClassifier", "-c", "a.yaml")
    assert classes.get("model").__name__ == "LSTMClassifier"


@pytest.mark.parametrize("text", ["model: [", "- model", "\0", "model: 3"])
def test_an_invalid_config_is_left_to_the_parser(text):
    Path("a.yaml").write_text(text)
    assert named("-c", "a.yaml", "-c", "missing.yaml").get("model") is None


def test_the_classes_of_a_checkpoint_are_imported():
    path = write(Path("a.ckpt"))
    classes = named("--ckpt_path", path, command="test")
    assert classes.get("model").__name__ == "LSTMClassifier"
    assert classes.checkpoint.path == path


def test_the_last_checkpoint_is_not_opened_before_the_run_is_known():
    assert named("--ckpt_path=last").checkpoint is None


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model=nowhere.Model"], r"nowhere\.Model cannot be imported"),
        (["--model=rnn_lab.datamodules.IMDB"], "is not a LightningModule"),
        (["--data=rnn_lab.core.datamodule.LabDataModule"], "is abstract: it does not define"),
        (["--ckpt_path=a.ckpt", "--init_from=b.ckpt"], "give --ckpt_path or --init_from, not both"),
        (["--ckpt_path=missing.ckpt"], r"missing\.ckpt does not exist"),
    ],
)
def test_a_class_that_cannot_be_used_is_reported(args, message):
    with pytest.raises(UserError, match=message):
        named(*args)
