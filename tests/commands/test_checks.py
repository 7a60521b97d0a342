"""Validation of the command line before anything is instantiated."""

from types import SimpleNamespace

import pytest
from handmade import content, write
from jsonargparse import Namespace

import rnn_lab.datamodules
import rnn_lab.models
from rnn_lab.commands._checks import (
    check_arguments,
    check_batch_type,
    check_layer,
    check_names,
    check_same_model,
    chosen_class,
    concrete_subclasses,
    linked_names,
    named_error,
    reason_of,
    without_links,
)
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.core.task import Task
from rnn_lab.errors import UserError

MODEL = {"class_path": "rnn_lab.LSTMClassifier", "init_args": {"hidden_dim": 4}}


def test_every_public_class_is_accepted_by_its_short_name():
    for option, module, base in (
        ("--model", rnn_lab.models, Task),
        ("--data", rnn_lab.datamodules, LabDataModule),
    ):
        for name in concrete_subclasses(base).keys() & set(module.__all__):
            check_names([[f"{option}={name}"]])
            check_names([[option, name]])


def test_class_paths_and_inline_configs_are_left_to_the_parser():
    check_names([["--model=a.b.C"], ["--data={class_path: X}"], ["--other=X"]])


def test_close_matches_are_suggested():
    with pytest.raises(UserError, match=r"unknown --data=IMBD: did you mean IMDB"):
        check_names([["--data=IMBD"]])
    with pytest.raises(UserError, match="unknown --model=1234: `rnn-lab list` shows the names"):
        check_names([["--model=1234"]])
    with pytest.raises(UserError, match=r"unknown --model\.optimizer=adm: did you mean Adam"):
        check_names([["--model.optimizer=adm"]])
    check_names([["--model.optimizer=null"], ["--data=None"]])


def test_all_names_that_data_modules_link_are_collected():
    for cls in concrete_subclasses(LabDataModule).values():
        assert set(cls.linked) <= set(linked_names())


def test_an_argument_must_exist_and_must_not_be_linked():
    def named_class(key):
        return rnn_lab.models.LSTMClassifier if key == "model" else None

    check_arguments([["--model.hidden_dim=4"], ["--model.init_args.num_layers=1"]], named_class)
    with pytest.raises(UserError, match="LSTMClassifier has no argument hiden_dim; it has hidden"):
        check_arguments([["--model.hiden_dim=4"]], named_class)
    with pytest.raises(UserError, match=r"vocab_size is set by the data: remove --model\.vocab"):
        check_arguments([["--model.vocab_size=4"]], named_class)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "--model.dropouts.layr=0.1",
            "TextClassifier has no option dropouts.layr; it has dropouts.layer",
        ),
        (
            "--model.init_args.loss.foo=1",
            "has no option loss.foo; it has loss.label_smoothing, loss",
        ),
        (
            "--data.tokenizer.knd=words",
            "TextFiles has no option tokenizer.knd; it has tokenizer.kind",
        ),
    ],
)
def test_an_option_of_a_group_must_exist(option, message):
    classes = {"model": rnn_lab.models.TextClassifier, "data": rnn_lab.datamodules.TextFiles}
    fine = [
        "--model.dropouts.layer=0.1",
        "--model.layer_kwargs.zoneout=0.1",
    ]
    check_arguments([[each] for each in fine], classes.get)
    with pytest.raises(UserError, match=message):
        check_arguments([[option]], classes.get)


def test_the_class_of_a_config_is_required():
    config = Namespace(model=Namespace(class_path="rnn_lab.models.LSTMClassifier"))
    assert chosen_class(config, "model") is rnn_lab.models.LSTMClassifier
    with pytest.raises(UserError, match="give --data=NAME"):
        chosen_class(config, "data")


def test_batch_types_must_match_and_a_matching_model_is_suggested():
    data = rnn_lab.datamodules.SyntheticReviews
    check_batch_type(rnn_lab.models.LSTMClassifier, data)
    with pytest.raises(UserError, match=r"GRUClassifier expects .*; try \w+") as error:
        check_batch_type(rnn_lab.models.GRUClassifier, data)
    suggestion = str(error.value).rpartition(" ")[2]
    check_batch_type(getattr(rnn_lab.models, suggestion), data)
    plain = SimpleNamespace(__name__="Plain")
    with pytest.raises(UserError, match="Plain does not define the class attribute batch_type"):
        check_batch_type(plain, data)


def test_a_checkpoint_requires_its_model(tmp_path):
    checkpoint = Checkpoint.open(write(tmp_path / "a.ckpt", MODEL))
    check_same_model(checkpoint, MODEL, resume=False)
    check_same_model(checkpoint, {**MODEL, "init_args": {"hidden_dim": 5}}, resume=False)
    other = {**MODEL, "class_path": "rnn_lab.PackedLSTM"}
    with pytest.raises(UserError, match="was saved by LSTMClassifier: remove --model"):
        check_same_model(checkpoint, other, resume=False)
    with pytest.raises(UserError, match="has no training state to resume from"):
        check_same_model(checkpoint, MODEL, resume=True)


def test_resuming_requires_the_same_arguments():
    state = dict.fromkeys(("optimizer_states", "lr_schedulers", "loops", "epoch", "global_step"))
    saved = {**content(MODEL), **state, "optimizer_states": [{}]}
    checkpoint = SimpleNamespace(
        path="a.ckpt", content=saved, model=MODEL, model_name="LSTMClassifier"
    )
    check_same_model(checkpoint, MODEL, resume=True)
    with pytest.raises(UserError, match=r"cannot change hidden_dim when resuming a\.ckpt"):
        check_same_model(checkpoint, {**MODEL, "init_args": {"hidden_dim": 5}}, resume=True)


def test_only_errors_of_restoring_a_checkpoint_are_renamed():
    with pytest.raises(KeyError), named_error("a.ckpt"):
        raise KeyError


def test_linked_arguments_are_removed():
    spec = {"class_path": "a.B", "init_args": {"x": 1, "y": 2}, "other": 3}
    assert without_links(spec, ["y"]) == {"class_path": "a.B", "init_args": {"x": 1}}
    assert spec["init_args"] == {"x": 1, "y": 2}


def test_an_unexpected_error_of_a_constructor_says_how_to_see_its_traceback():
    assert reason_of(ValueError("wrong size")) == "wrong size"
    assert "set RNN_LAB_DEBUG=1 to see the traceback" in reason_of(RuntimeError("a bug"))


def test_the_name_of_a_layer_is_checked_for_our_models_alone():
    check_layer(rnn_lab.TextClassifier, {"layer": "GRU"})
    check_layer(rnn_lab.TextClassifier, None)
    with pytest.raises(UserError, match="there is no recurrent layer GRUU: did you mean GRU"):
        check_layer(rnn_lab.TextClassifier, {"layer": "GRUU"})
    check_layer(type("Own", (), {"__module__": "own"}), {"layer": "mine"})
