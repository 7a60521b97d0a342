"""Spelling of options: dashes, flags, and unknown names."""

import pytest
from jsonargparse import ArgumentParser

import rnn_lab
from rnn_lab.commands._spelling import (
    as_annotated,
    as_declared,
    check_aliases,
    check_known,
    nested_names,
    with_underscores,
)
from rnn_lab.errors import UserError


class Shape:
    """A class that an option chooses."""

    def __init__(self, size: int = 1) -> None:
        self.size = size


def actions():
    parser = ArgumentParser()
    parser.add_argument("--text-column", type=str)
    parser.add_argument("--max_epochs", type=int)
    parser.add_argument("--test", type=bool)
    parser.add_argument("--limit", type=int | bool | None)
    parser.add_argument("--model", type=Shape)
    return vars(parser)["_option_string_actions"]


def test_options_of_fit_are_spelled_with_underscores():
    options = [["--a-b.c-d=e-f"], ["-c", "a-b"]]
    assert with_underscores(options) == [
        ["--a_b.c_d=e-f"],
        ["-c", "a-b"],
    ]


@pytest.mark.parametrize(
    ("option", "declared"),
    [
        (["--text_column=a_b"], ["--text-column=a_b"]),
        (["--text-column", "x"], ["--text-column", "x"]),
        (["--max-epochs=3"], ["--max_epochs=3"]),
        (["--other_one=3"], ["--other_one=3"]),
        (["--test"], ["--test=true"]),
        (["--limit"], ["--limit=true"]),
        (["--test", "false"], ["--test", "false"]),
        (["--max_epochs"], ["--max_epochs"]),
    ],
)
def test_options_are_spelled_as_declared_and_flags_become_true(option, declared):
    assert as_declared([option], actions()) == [declared]


@pytest.mark.parametrize(
    ("option", "flag"),
    [("--model.bidirectional", True), ("--data.tokenizer.lowercase", True), ("--data.file", False)],
)
def test_flags_of_model_and_data_become_true(option, flag):
    classes = {"model": rnn_lab.TextClassifier, "data": rnn_lab.TextFiles}
    assert as_annotated([[option]], classes.get) == [[f"{option}=true" if flag else option]]


@pytest.mark.parametrize(
    ("option", "spelled"),
    [
        (["--data.targets=price, net"], '--data.targets=["price, net"]'),
        (["--data.calendar", "hour"], '--data.calendar=["hour"]'),
        (["--data.columns.future_covariates=1"], '--data.columns.future_covariates=["1"]'),
        (["--data.targets=[a,b]"], "--data.targets=[a,b]"),
        (["--data.targets=null"], "--data.targets=null"),
        (["--data.file=load.csv"], "--data.file=load.csv"),
        (["--data.split=[0.7,0.1,0.2]"], "--data.split=[0.7,0.1,0.2]"),
    ],
)
def test_one_name_is_a_list_where_names_are_expected(option, spelled):
    assert as_annotated([option], {"data": rnn_lab.ForecastingFiles}.get) == [[spelled]]


def test_one_name_is_a_list_in_options_of_commands():
    parser = ArgumentParser()
    parser.add_argument("--compare", type=list[str] | None)
    actions = vars(parser)["_option_string_actions"]
    assert as_declared([["--compare=a.ckpt"]], actions) == [['--compare=["a.ckpt"]']]


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("--max_epoch=1", "did you mean --max_epochs?"),
        ("--zzz", "`--help` shows the options"),
        ("--optimizer=Adam", "give --model.optimizer"),
        ("--lr_scheduler.gamma=1", "give --model.scheduler.gamma"),
        ("--lr=0.1", "give --model.optimizer.lr"),
        ("--epochs=3", "give --trainer.max_epochs"),
    ],
)
def test_an_unknown_option_is_refused_with_what_is_meant(option, hint):
    with pytest.raises(UserError, match=f"unknown option {option.partition('=')[0]}: {hint}"):
        check_known([[option]], actions(), nested_names(actions()))


def test_options_of_a_chosen_class_are_left_to_the_parser():
    options = [["--model.size=1"], ["--model.init_args.size=1"], ["-c", "x"]]
    check_known(options, actions(), nested_names(actions()))


def test_an_option_with_two_names_is_given_by_one():
    parser = ArgumentParser()
    parser.add_argument("--search.beam_size", "--beam_size", type=int)
    actions = vars(parser)["_option_string_actions"]
    check_aliases([["--beam_size=1"], ["--beam_size=2"]], actions)
    with pytest.raises(UserError, match="give --beam_size or --search"):
        check_aliases([["--beam_size=3"], ["--search.beam_size", "1"]], actions)


def test_configs_are_given_by_both_names():
    parser = ArgumentParser()
    parser.add_argument("-c", "--config", action="append")
    actions = vars(parser)["_option_string_actions"]
    check_aliases([["--config=checkpoint.yaml"], ["-c", "demo.yaml"]], actions)


@pytest.mark.parametrize(
    ("option", "hint"),
    [("--hidden_dim=1", "--model.hidden_dim"), ("--max_epochs=1", "--trainer.max_epochs")],
)
def test_an_option_without_its_prefix_is_found(option, hint):
    parser = ArgumentParser()
    parser.add_argument("--trainer.max_epochs", type=int)
    known = vars(parser)["_option_string_actions"]
    with pytest.raises(UserError, match=rf"did you mean {hint}\?"):
        check_known([[option]], known, [], lambda: ["--model.hidden_dim", "--model.num_layers"])
