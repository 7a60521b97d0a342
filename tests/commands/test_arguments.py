"""Options of model and data are checked by names."""

import pytest

from rnn_lab.commands._arguments import Constructor, check_argument, check_name, check_required
from rnn_lab.errors import UserError

MODEL = Constructor("model", "Net", {"hidden_dim": None, "dropouts": ["layer", "output"]})


@pytest.mark.parametrize(
    "option",
    [
        *("--model.hidden_dim", "--model.init_args.hidden_dim", "--model.dropouts.layer"),
        *("--model.dropouts", "--model.help", "--model.class_path", "--model", "--data.size"),
        *("--model.hidden_dim.key", "--model.hidden_dim+", "--trainer.max_epochs"),
    ],
)
def test_an_option_that_exists_or_belongs_elsewhere_is_accepted(option):
    check_argument(MODEL, option)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--model.hiden_dim", "Net has no argument hiden_dim; it has hidden_dim"),
        ("--model.zzz", "Net has no argument zzz; it has hidden_dim, dropouts"),
        ("--model.dropouts.layr", r"no option dropouts\.layr; it has dropouts\.layer$"),
        ("--model.dropouts.zzz.a", r"it has dropouts\.layer, dropouts\.output$"),
        ("--model.dropouts.help", r"--model\.help=Net shows its options"),
    ],
)
def test_an_unknown_option_gets_close_matches(option, message):
    with pytest.raises(UserError, match=message):
        check_argument(MODEL, option)


@pytest.mark.parametrize("name", ["Adam", "null", "a.Adam", "{class_path: Adam}", "a b"])
def test_names_that_exist_and_what_is_no_name_are_accepted(name):
    check_name("--model.optimizer", name, ["Adam"])


def test_an_unknown_name_gets_close_matches_that_are_public():
    with pytest.raises(UserError, match=r"unknown --data=IMBD: did you mean IMDB\?"):
        check_name("--data", "IMBD", ["IMDB", "_IMBD"])
    with pytest.raises(UserError, match="`rnn-lab list` shows the names"):
        check_name("--data", "a b", ["IMDB"])
    with pytest.raises(UserError, match="give a class path"):
        check_name("--model.optimizer", "x", ["Adam"])


def test_an_evaluation_needs_a_checkpoint():
    check_required("fit", [])
    check_required("test", [["--ckpt_path", "a"]])
    check_required("test", [["--help"]])
    with pytest.raises(UserError, match="validate requires --ckpt_path"):
        check_required("validate", [["--name=a"]])
