"""Trainer, model and data module from a command line, in Python."""

import os
from pathlib import Path

import pytest
from command_line import REVIEWS, SIZES

import rnn_lab
from rnn_lab.training.runs import RUN_DIR_ENV

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_a_command_line_can_be_built_without_running_it_and_then_trained():
    options = [*REVIEWS, *SIZES, "--name=a", "--trainer.log_every_n_steps=1"]
    trainer, model, data = rnn_lab.build(options)
    assert isinstance(model, rnn_lab.LSTMClassifier)
    assert isinstance(data, rnn_lab.SyntheticReviews)
    assert trainer.max_epochs == 1
    assert not Path("runs").exists()
    assert RUN_DIR_ENV not in os.environ
    trainer.fit(model, data)
    assert Path("runs/SyntheticReviews/a/checkpoints/best.ckpt").exists()


def test_a_run_without_a_name_is_built_in_the_next_free_folder():
    Path("runs/SyntheticReviews/LSTMClassifier-1").mkdir(parents=True)
    trainer, _, _ = rnn_lab.build([*REVIEWS, *SIZES])
    assert trainer.default_root_dir == "runs/SyntheticReviews/LSTMClassifier-2"


def test_an_invalid_option_is_an_error_in_python_too():
    with pytest.raises(rnn_lab.UserError, match="did you mean"):
        rnn_lab.build([*REVIEWS, "--trainer.max_epoch=1"])
