"""Checkpoints name classes, but code of packages that are not trusted is never executed."""

import copy
import json
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch
from torch import nn

import rnn_lab
from rnn_lab.__main__ import main
from rnn_lab.commands._checks import concrete_subclasses
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.core.public_paths import public_path
from rnn_lab.core.task import Task
from rnn_lab.core.trusted_imports import check_class_paths, import_trusted_class, import_user_class
from rnn_lab.errors import UserError
from rnn_lab.models import LSTMClassifier, TextClassifier
from rnn_lab.tasks.translation.predictor import load_ensemble

FOREIGN = '''
from pathlib import Path

import torch

from rnn_lab.datamodules import SyntheticReviews
from rnn_lab.tasks.translation.predictor import load_ensemble
from rnn_lab.models import LSTMClassifier

Path(__file__).with_name("run").touch()


class Model(LSTMClassifier):
    """A model of another package."""


class Data(SyntheticReviews):
    """Data of another package."""


class Optimizer(torch.optim.SGD):
    """An optimizer of another package."""


class Schedule(torch.optim.lr_scheduler.StepLR):
    """A schedule of another package."""


def factor(epoch: int) -> float:
    return 1.0
'''


class WithModule(LSTMClassifier):
    """A model of a user that takes another module, and an argument without a type."""

    def __init__(self, part: nn.Module, free=None, options: dict[str, Any] | None = None) -> None:
        super().__init__()


class Loaded(LSTMClassifier):
    """A model that a script defines."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The content of a checkpoint with an optimizer and a schedule."""
    folder = tmp_path_factory.mktemp("run")
    words = [
        *("fit", "--model=LSTMClassifier", "--data=SyntheticReviews", "--data.train_size=16"),
        *("--data.valid_size=8", "--data.test_size=8", "--model.embedding_dim=4"),
        *("--model.hidden_dim=4", "--trainer.max_epochs=1", "--trainer.accelerator=cpu"),
        *("--model.optimizer=torch.optim.SGD", "--model.optimizer.lr=0.1"),
        *("--model.scheduler=StepLR", "--model.scheduler.step_size=1"),
    ]
    assert main([*words, f"--trainer.default_root_dir={folder}"]) == 0
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """The file that exists if the code of another package was executed."""
    for name in ("foreign_a", "foreign_b"):
        (tmp_path / "packages" / name).mkdir(parents=True)
        (tmp_path / "packages" / name / "__init__.py").write_text(FOREIGN)
    (tmp_path / "work").mkdir()
    (tmp_path / "work/subclass.yaml").write_text("class_path: foreign_a.Optimizer\n")
    (tmp_path / "texts.txt").write_text("a good film\n")
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("RNN_LAB_ALLOW", raising=False)
    monkeypatch.delenv("RNN_LAB_RUN", raising=False)
    yield tmp_path / "packages/foreign_a/run"
    for name in ("foreign_a", "foreign_b"):
        sys.modules.pop(name, None)


def named(path):
    return {"class_path": path, "init_args": {}}


def change(content: dict[str, Any], what: str) -> None:  # noqa: C901  # a table of cases
    """Make a checkpoint name a class of another package."""
    model, data = (content["rnn_lab"][part] for part in ("model", "data"))
    arguments = model["init_args"]
    match what:
        case "model":
            model["class_path"] = "foreign_a.Model"
        case "data":
            data["class_path"] = "foreign_a.Data"
        case "optimizer":
            arguments["optimizer"]["class_path"] = "foreign_a.Optimizer"
        case "optimizer as a word":
            arguments["optimizer"] = "foreign_a.Optimizer"
        case "optimizer as text":
            arguments["optimizer"] = '{"class_path": "foreign_a.Optimizer"}'
        case "optimizer with its point hidden":
            arguments["optimizer"] = '{"class_path": "foreign_a\\u002eOptimizer"}'
        case "optimizer in a file":
            arguments["optimizer"] = "subclass.yaml"
        case "scheduler":
            arguments["scheduler"]["class_path"] = "foreign_a.Schedule"
        case "scheduler as a word":
            arguments["scheduler"] = "foreign_a.Schedule"
        case "function of the scheduler":
            path = "torch.optim.lr_scheduler.LambdaLR"
            spec = {"class_path": path, "init_args": {"lr_lambda": "foreign_a.factor"}}
            arguments["scheduler"] = spec
        case "nested":
            arguments["layer_kwargs"] = {"cell": [named("foreign_a.Model")]}
        case "nested as text":
            arguments["layer_kwargs"] = {"cell": '{"class_path": "foreign_a\\x2eModel"}'}
        case "beside the arguments":
            arguments["optimizer"]["dict_kwargs"] = {"x": named("foreign_a.Model")}
        case "nested in data":
            data["init_args"]["batch_size"] = named("foreign_a.Data")


COMMANDS = {
    "predict": ["predict", "--ckpt_path={path}", "--input={texts}"],
    "test": ["test", "--ckpt_path={path}"],
    "validate with another model": ["validate", "--ckpt_path={path}", "--model=LSTMClassifier"],
    "resume": ["fit", "--ckpt_path={path}", "--trainer.max_epochs=2"],
    "init_from": ["fit", "--init_from={path}"],
    "vocabulary": ["fit", "--model=LSTMClassifier", "--data=TextFiles", "--data.train=no.txt",
                   "--data.vocab_from_checkpoint={path}"],
    "average": ["average", "{path}", "{path}", "--output=mean.ckpt"],
    "generate": ["generate", "--ckpt_path={path}"],
    "translate": ["translate", "--ckpt_path={path}"],
    "backtest": ["backtest", "--ckpt_path={path}"],
    "config": ["fit", "-c={config}"],
}  # fmt: skip
NAMED = (
    "model", "data", "optimizer", "optimizer as a word", "optimizer as text",
    "optimizer with its point hidden", "optimizer in a file", "scheduler", "scheduler as a word",
    "function of the scheduler", "nested", "nested as text", "beside the arguments",
    "nested in data",
)  # fmt: skip
REFUSED_FROM_ALL_PACKAGES = {
    "optimizer as text", "optimizer with its point hidden", "optimizer in a file", "nested",
    "nested as text", "nested in data", "beside the arguments",
}  # fmt: skip
CASES = [("test", what) for what in NAMED] + [
    (command, "model") for command in COMMANDS if command != "test"
]
CASES += [(command, what) for command in ("resume", "init_from") for what in ("optimizer", "data")]


def status_of(command, content, folder):
    path, config = folder / "path.ckpt", folder / "config.yaml"
    torch.save(content, path)
    config.write_text(
        "model: {class_path: LSTMClassifier, init_args: {embedding_dim: 4, hidden_dim: 4}}\n"
        f"data: {{class_path: SyntheticReviews}}\nckpt_path: {path}\n"
    )
    places = {"path": path, "texts": folder / "texts.txt", "config": config}
    return main([word.format(**places) for word in COMMANDS[command]])


@pytest.mark.parametrize(("command", "what"), CASES)
def test_no_command_executes_code_of_another_package(
    command, what, trained, foreign, tmp_path, capsys
):
    content = copy.deepcopy(trained)
    change(content, what)
    assert status_of(command, content, tmp_path) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("rnn-lab: ")
    assert str(tmp_path / "path.ckpt") in line
    assert ("foreign_a" in line) == (what != "optimizer in a file")
    named = "RNN_LAB_ALLOW=foreign_a" in line
    assert named == (what not in REFUSED_FROM_ALL_PACKAGES)
    assert not foreign.exists()
    assert [path.name for path in Path().iterdir()] == ["subclass.yaml"]


def test_an_ensemble_executes_no_code_of_another_package(trained, foreign, tmp_path):
    content = copy.deepcopy(trained)
    torch.save(content, tmp_path / "first.ckpt")
    change(content, "model")
    torch.save(content, tmp_path / "second.ckpt")
    with pytest.raises(UserError, match=r"second\.ckpt names foreign_a\.Model"):
        load_ensemble(Checkpoint.open(tmp_path / "first.ckpt"), [str(tmp_path / "second.ckpt")])
    assert not foreign.exists()


@pytest.mark.parametrize("command", ["predict", "test", "resume", "init_from", "average"])
def test_every_command_accepts_the_unchanged_checkpoint(command, trained, foreign, tmp_path):
    assert status_of(command, trained, tmp_path) == 0


@pytest.mark.parametrize("command", ["predict", "test", "resume", "init_from"])
def test_hyperparameters_of_lightning_are_ignored(command, trained, foreign, tmp_path):
    content = copy.deepcopy(trained)
    hparams = {"_class_path": "foreign_a.Model", "optimizer": named("foreign_a.Optimizer")}
    for name in ("hyper_parameters", "datamodule_hyper_parameters"):
        content[name] |= {"_instantiator": "lightning.pytorch.cli.instantiate_module", **hparams}
    content["callbacks"]["foreign_a.Callback"] = {}
    assert status_of(command, content, tmp_path) == 0
    assert not foreign.exists()


def test_training_cannot_be_resumed_from_averaged_weights(trained, foreign, tmp_path, capsys):
    assert status_of("average", trained, tmp_path) == 0
    assert main(["fit", "--ckpt_path=mean.ckpt"]) == 1
    assert "use --init_from=mean.ckpt to start" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["predict", "test"])
def test_a_package_that_the_user_allows_is_imported(
    command, trained, foreign, tmp_path, monkeypatch
):
    content = copy.deepcopy(trained)
    for what in ("model", "data", "optimizer", "scheduler"):
        change(content, what)
    monkeypatch.setenv("RNN_LAB_ALLOW", "other, foreign_a")
    assert status_of(command, content, tmp_path) == 0
    assert foreign.exists()


def test_allowing_a_package_does_not_allow_packages_with_the_same_prefix(foreign, monkeypatch):
    monkeypatch.setenv("RNN_LAB_ALLOW", "foreign,foreign_b")
    with pytest.raises(UserError, match="RNN_LAB_ALLOW=foreign_a"):
        import_trusted_class("foreign_a.Model", "a.ckpt")
    assert import_trusted_class("foreign_b.Model", "a.ckpt").__name__ == "Model"
    assert not foreign.exists()


def test_a_class_that_is_loaded_already_needs_no_permission(trained, tmp_path):
    content = copy.deepcopy(trained)
    content["rnn_lab"]["model"]["class_path"] = f"{__name__}.Loaded"
    torch.save(content, tmp_path / "own.ckpt")
    assert isinstance(rnn_lab.load(str(tmp_path / "own.ckpt")).task, Loaded)


@pytest.mark.parametrize(
    "path",
    [
        "rnn_lab.core.loading.import_module", "rnn_lab.commands.average.average",
        "rnn_lab.core.datamodule.Path", "torch.hub.load", "torch.utils.cpp_extension.load",
        "os.system", "torch.nn.functional.relu", "lightning.pytorch.cli.LightningCLI",
        "rnn_lab.core.datamodule.os",
        "rnn_lab.core.datamodule.os.system", "rnn_lab.absent.Model", "Adam", "", ".foreign.Model",
        "rnn_lab..models.Task", f"{__name__}.Path", "builtins.eval",
    ],
)  # fmt: skip
def test_other_objects_than_models_data_optimizers_and_schedules_are_refused(path):
    with pytest.raises(UserError, match=r"a\.ckpt names "):
        import_trusted_class(path, "a.ckpt")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("rnn_lab.models.LSTMClassifier", "LSTMClassifier"),
        ("rnn_lab.training.schedules.CosineDecay", "CosineDecay"),
        ("torch.optim.lr_scheduler.StepLR", "StepLR"),
        ("lightning.pytorch.cli.ReduceLROnPlateau", "ReduceLROnPlateau"),
    ],
)
def test_classes_of_rnn_lab_and_torch_are_allowed(path, name):
    assert import_trusted_class(path, "a.ckpt").__name__ == name


def test_only_optimizer_and_scheduler_arguments_are_imported():
    """Otherwise a string in another argument, such as a column name, would be taken for a path."""
    known = [*concrete_subclasses(Task).values(), *concrete_subclasses(LabDataModule).values()]
    for cls in (cls for cls in known if cls.__module__.startswith("rnn_lab.")):
        path = public_path(cls)
        for argument in arguments_of(cls):
            check_class_paths({"class_path": path, "init_args": argument}, "a.ckpt")


def arguments_of(cls: Any) -> Iterator[dict[str, Any]]:
    """A string for each argument of a constructor, and for each field of a group of options."""
    for name, hint in get_type_hints(cls.__init__).items():
        group = next((each for each in (hint, *get_args(hint)) if is_dataclass(each)), None)
        if group is not None:
            yield from ({name: argument} for argument in arguments_of(group))
        elif str in (hint, *get_args(hint)) and name not in ("optimizer", "scheduler"):
            yield {name: "a.column"}


def test_build_specifications_of_rnn_lab_are_accepted(trained):
    for part in ("model", "data"):
        spec = trained["rnn_lab"][part]
        check_class_paths({k: spec[k] for k in ("class_path", "init_args")}, "a.ckpt")
    check_class_paths(TextClassifier(9, layer_kwargs={"zoneout": 0.1}).build_spec(), "a.ckpt")


def test_a_config_cannot_execute_a_function_in_place_of_an_optimizer(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    optimizer = "{class_path: os.system, init_args: {command: touch run}}"
    init_args = f"init_args: {{optimizer: {optimizer}}}"
    text = f"model: {{class_path: LSTMClassifier, {init_args}}}\ndata: SyntheticReviews\n"
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(SystemExit):
        main(["fit", "-c", "odd.yaml", "--trainer.accelerator=cpu"])
    assert "invalid value for optimizer" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["odd.yaml"]


def test_naming_a_class_of_rnn_lab_trusts_no_other_function_of_it():
    import_user_class("rnn_lab.LSTMClassifier")
    with pytest.raises(UserError, match="which is not a model, data module, optimizer or schedule"):
        import_trusted_class("rnn_lab.core.loading.import_module", "a.ckpt")


@pytest.mark.parametrize("scheduler", [[], ["--model.scheduler.monitor=val/loss"]])
def test_a_checkpoint_of_a_schedule_with_a_metric_can_be_read(scheduler, foreign, tmp_path):
    words = [
        *("fit", "--model=LSTMClassifier", "--data=SyntheticReviews", "--data.train_size=16"),
        *("--data.valid_size=8", "--data.test_size=8", "--model.embedding_dim=4"),
        *("--model.hidden_dim=4", "--trainer.max_epochs=1", "--trainer.accelerator=cpu"),
        *("--model.scheduler=ReduceLROnPlateau", *scheduler),
        f"--trainer.default_root_dir={tmp_path}/run",
    ]
    assert main(words) == 0
    last = f"--ckpt_path={tmp_path}/run/checkpoints/last.ckpt"
    assert main(["test", last]) == 0
    assert main(["fit", last, "--trainer.max_epochs=2"]) == 0


def test_arguments_of_a_nested_class_are_checked_by_its_own_types():
    path = "lightning.pytorch.cli.ReduceLROnPlateau"
    spec = {"class_path": path, "init_args": {"monitor": "val/loss"}}
    arguments = {"scheduler": spec}
    check_class_paths({"class_path": public_path(LSTMClassifier), "init_args": arguments}, "file")
    spec["init_args"] = {"other": "val/loss"}  # not declared by the class
    with pytest.raises(UserError, match="not a class path"):
        check_class_paths(spec, "file")


LINEAR = {"class_path": "torch.nn.Linear", "init_args": {"in_features": 9, "out_features": 9}}


@pytest.mark.parametrize("value", [{"x": LINEAR}, {"x": {"y": [LINEAR]}}, LINEAR])
def test_no_class_is_constructed_in_a_dictionary_of_options(value, tmp_path, monkeypatch, capsys):
    arguments = {"layer_kwargs": value}
    for path in ("rnn_lab.TextClassifier", "rnn_lab.LSTMLanguageModel"):
        with pytest.raises(
            UserError, match=r"a\.ckpt names the class torch.nn.Linear in layer_kwa"
        ):
            check_class_paths({"class_path": path, "init_args": arguments}, "a.ckpt")
    monkeypatch.chdir(tmp_path)
    command = ["fit", "--model=TextClassifier", "--data=SyntheticReviews"]
    assert main([*command, f"--model.layer_kwargs={json.dumps(value)}"]) == 1
    line = "--model names the class torch.nn.Linear in layer_kwargs of TextClassifier"
    assert line in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_argument_whose_type_is_a_class_names_one():
    spec = {"class_path": f"{__name__}.WithModule", "init_args": {"part": LINEAR, "free": LINEAR}}
    check_class_paths(spec, "a.ckpt")
    spec["init_args"]["options"] = {"x": LINEAR}
    with pytest.raises(UserError, match="in options of WithModule"):
        check_class_paths(spec, "a.ckpt")
