"""The option `--wandb`, and the environment variables that stand for it."""

import logging
from pathlib import Path

import pytest
from command_line import REVIEWS, SIZES, resolved, run
from lightning.pytorch.loggers import CSVLogger

from rnn_lab.commands._wandb import VARIABLES, is_wanted, with_wandb
from rnn_lab.training import OfflineWandbLogger

pytestmark = pytest.mark.usefixtures("empty_folder", "no_variables")


@pytest.fixture
def no_variables(monkeypatch, tmp_path):
    """Remove the variables of W&B and pytest, and the file with keys."""
    for name in (*VARIABLES, "WANDB_BASE_URL", "PYTEST_VERSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.mark.parametrize(("option", "project"), [(True, "rnn-lab"), ("mine", "mine")])
def test_the_option_adds_the_logger(option, project):
    for loggers in (False, None, True):
        (logger,) = with_wandb(option, loggers)
        assert isinstance(logger, OfflineWandbLogger)
        assert logger._wandb_init["project"] == project


@pytest.mark.parametrize("option", [None, False])
def test_without_option_and_variables_nothing_is_logged(option):
    assert with_wandb(option, False) is False


@pytest.mark.parametrize("name", VARIABLES)
def test_each_variable_asks_for_the_logger(name, monkeypatch):
    monkeypatch.setenv(name, "offline")
    assert isinstance(with_wandb(None, False)[0], OfflineWandbLogger)
    assert with_wandb(False, False) is False
    monkeypatch.setenv("PYTEST_VERSION", "8")
    assert not is_wanted()


def test_other_loggers_are_kept_and_not_joined_without_the_option(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_PROJECT", "p")
    other, own = CSVLogger(tmp_path), OfflineWandbLogger()
    assert with_wandb(None, other) is other
    assert [type(logger) for logger in with_wandb(True, other)] == [CSVLogger, OfflineWandbLogger]
    assert with_wandb(True, [own]) == [own]


@pytest.mark.parametrize("host", ["api.wandb.ai", "wandb.example.org"])
def test_a_key_in_a_file_alone_only_gives_a_hint(host, monkeypatch, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("WANDB_BASE_URL", f"https://{host}/")
    (tmp_path / "netrc").write_text(f"machine {host}\n  login user\n  password x\n")
    assert with_wandb(None, False) is False
    assert f"add --wandb to use the account in {tmp_path}/netrc" in caplog.text
    caplog.clear()
    assert with_wandb(False, False) is False
    assert not caplog.text


def test_the_option_is_saved_with_the_config(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert run("fit", *REVIEWS, *SIZES, "--name=a", "--wandb=mine") == 0
    assert resolved()["wandb"] == "mine"


@pytest.mark.slow
def test_any_logger_receives_the_config_and_scores():
    logger = ["--trainer.logger=CSVLogger", "--trainer.logger.save_dir=elsewhere"]
    assert run("fit", *REVIEWS, *SIZES, "--name=a", *logger) == 0
    hparams = Path("elsewhere/lightning_logs/version_0/hparams.yaml").read_text()
    assert "hidden_dim: 8" in hparams
