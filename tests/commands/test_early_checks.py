"""Mistakes on a command line are found without torch, with the messages of the later checks."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import REVIEWS

from rnn_lab import datamodules, models
from rnn_lab.commands import _cli, _early_checks, _help
from rnn_lab.commands._checks import concrete_subclasses
from rnn_lab.commands._configs import shipped_configs
from rnn_lab.commands._early_checks import check_early, option_names
from rnn_lab.commands._sources import public_class, public_names
from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.core.options import option_group
from rnn_lab.core.task import Task
from rnn_lab.errors import UserError

KINDS = {"model": (models, Task), "data": (datamodules, LabDataModule)}
PUBLIC = [(kind, name) for kind, (module, _) in KINDS.items() for name in module.__all__]
MISTAKES = [
    ["fit", "-c", "dmo"],
    ["fit", "-c", "missing.yaml"],
    ["test"],
    ["validate", "--data=IMDB"],
    ["fit", *REVIEWS, "--typo=3"],
    ["fit", *REVIEWS, "--trainer.max_epoch=3"],
    ["fit", *REVIEWS, "--trainer.callback=3"],
    ["fit", *REVIEWS, "--optimizer=Adam"],
    ["fit", *REVIEWS, "--seed=3"],
    ["fit", *REVIEWS, "--hidden_dim=3"],
    ["fit", *REVIEWS, "--hiden_dim=3"],
    ["fit", *REVIEWS, "--model.hiden_dim=3"],
    ["fit", *REVIEWS, "--model.zzz", "3"],
    ["fit", *REVIEWS, "--data.tokenizer.knd=words"],
    ["fit", *REVIEWS, "--data.tokenizer.help"],
    ["fit", *REVIEWS, "--model.vocab_size=3"],
    ["fit", "-c", "demo", "--model.hiden_dim=3"],
    ["fit", "-c", "demo", "--early_stoping.patience=3"],
    ["fit", "--data=SyntheticReviews", "--model=TextClasifier"],
    ["fit", "--data=SyntheticReviws", "--model=rnn_lab.TextClassifier"],
    ["fit", "--data=SyntheticReviews", "--model"],
]
LATER = ("--model.vocab_size=3", "--data.tokenizer.help")  # found by the later checks alone

pytestmark = pytest.mark.usefixtures("empty_folder")


@pytest.mark.parametrize("args", MISTAKES, ids=" ".join)
def test_a_mistake_is_found_early_with_the_message_of_the_later_checks(args):
    with pytest.raises(UserError) as late:
        _cli.LabCLI(args)
    if args[-1] in LATER:
        check_early(args[0], args[1:])
        return
    with pytest.raises(UserError) as early:
        check_early(args[0], args[1:])
    assert str(early.value) == str(late.value)


@pytest.mark.parametrize("name", shipped_configs())
def test_shipped_configs_are_valid(name):
    check_early("fit", ["-c", name, "--trainer.max_epochs=1", "--trainer.callbacks+=Timer"])


@pytest.mark.parametrize("line", _help.examples("fit"))
def test_examples_are_valid(line):
    check_early("fit", line.split()[2:])


@pytest.mark.parametrize(
    "args",
    [
        ["--model=my_package.Model", "--typo=1"],
        ["--model={class_path: X}", "--typo=1"],
        ["-c", "own.yaml", "--model=Model"],
        ["--model=null", "--data=IMDB", "--typo=1"],
        ["--ckpt_path=a.ckpt", "--typo=1"],
        ["--init_from", "a.ckpt", "--model=Zzz"],
        ["--help"],
        ["--model.help=Zzz"],
    ],
)
def test_what_sources_do_not_tell_is_left_to_the_later_checks(args):
    Path("own.yaml").write_text("data: {class_path: my_package.Data}")
    check_early("fit", args)


def test_names_that_plugins_may_have_are_left_to_the_later_checks(monkeypatch):
    monkeypatch.setattr(_early_checks, "plugins", lambda: ["tagger"])
    check_early("fit", ["--model=Tagger", "--typo=1"])


def test_the_options_of_fit_are_those_of_its_parser(monkeypatch):
    parsers = []
    monkeypatch.setattr(
        _cli.LabCLI, "parse_arguments", lambda cli, parser, args: parsers.append(cli._parser("fit"))
    )
    with pytest.raises(AttributeError):  # nothing was parsed
        _cli.LabCLI(["fit"])
    actions = vars(parsers[0])["_option_string_actions"]
    long = {name.removesuffix("+").removesuffix(".help") for name in actions if name[:2] == "--"}
    assert option_names() == long
    nested = _cli.nested_names(actions)
    assert {name for name in option_names() if name in nested} == _early_checks.nested_options()


@pytest.mark.parametrize(("kind", "name"), PUBLIC)
def test_arguments_in_sources_are_those_of_the_class(kind, name):
    cls = getattr(KINDS[kind][0], name)
    arguments = public_class(kind, name).arguments()
    assert list(arguments) == list(inspect.signature(cls).parameters)
    for argument, described in arguments.items():
        group = option_group(cls, argument)
        assert (described.group is None) == (group is None)
        if group is not None:
            assert list(described.group.arguments()) == list(inspect.signature(group).parameters)


@pytest.mark.parametrize("kind", KINDS)
def test_public_names_in_sources_are_those_of_all_concrete_classes(kind):
    module, base = KINDS[kind]
    classes = concrete_subclasses(base).items()
    ours = {name for name, cls in classes if cls.__module__.startswith("rnn_lab.")}
    assert set(public_names(kind)) == set(module.__all__) == ours


def test_torch_is_not_imported_before_a_mistake_is_reported():
    commands = [args for args in MISTAKES if args[-1] not in LATER]
    code = f"""
import sys
from rnn_lab.__main__ import main
for args in {commands!r}:
    assert main(args) == 1, args
assert not {{"torch", "lightning", "jsonargparse"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
