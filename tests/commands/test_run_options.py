"""Options of `fit`, `validate` and `test`."""

import pytest
from lightning.pytorch import Trainer

from rnn_lab.commands._run_options import TRAINER_DEFAULTS, LabParser, add_run_options


def test_options_of_a_run_have_defaults():
    parser = LabParser(default_env=False)
    add_run_options(parser)
    config = parser.parse_args([])
    assert (config.name, config.experiment, config.overwrite, config.test) == (None,) * 2 + (
        False,
    ) * 2
    assert config.early_stopping.patience == 3


def test_an_option_cannot_be_abbreviated(capsys):
    parser = LabParser(default_env=False)
    add_run_options(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--nam=a"])
    assert capsys.readouterr().err.startswith("rnn-lab:")


def test_the_defaults_are_arguments_of_the_trainer():
    Trainer(**TRAINER_DEFAULTS, accelerator="cpu", enable_checkpointing=False)
