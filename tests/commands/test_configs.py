"""Configs are found by their names, and wrong names get near ones."""

from pathlib import Path

import pytest
import yaml

from rnn_lab.commands._configs import (
    read_options,
    resolve_configs,
    shipped_claims,
    shipped_configs,
)
from rnn_lab.errors import UserError

FOLDER = Path(__file__).parents[2] / "configs"


def test_every_config_of_the_repository_has_a_name_of_its_own():
    paths = sorted(FOLDER.glob("*/*.yaml"))
    configs, claims = shipped_configs(), shipped_claims()
    assert sorted([*configs.values(), *claims.values()]) == paths
    assert len({*configs} | {*claims}) == len(paths) > 40


@pytest.mark.parametrize(
    "option", [["-c", "demo"], ["--config", "demo"], ["--config=demo"], ["-c=demo"]]
)
def test_a_name_becomes_the_path_of_the_shipped_config(option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ((key, path),) = resolve_configs([option])
    assert key in ("-c", "--config")
    assert yaml.safe_load(Path(path).read_text())["data"]["class_path"] == "SyntheticReviews"


def test_a_local_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").write_text("seed_everything: 1\n")
    (tmp_path / "imdb").mkdir()
    assert resolve_configs([["-c", "demo"]]) == [["-c", "demo"]]
    assert resolve_configs([["-c", "imdb"]]) == [["-c", str(shipped_configs()["imdb"])]]


def test_other_options_stay_as_they_are():
    options = [["--model=demo"], ["--trainer.max_epochs", "1"], ["-c", ""]]
    assert resolve_configs(options) == options


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("imbd", "did you mean -c imdb"),
        ("configs/etth1_lsmt.yaml", "did you mean -c etth1_lstm"),
        ("qqqq", "`rnn-lab list` shows them"),
    ],
)
def test_an_unknown_name_gets_near_ones(value, hint):
    with pytest.raises(UserError, match=f"{value} is neither a file nor the name .*{hint}"):
        resolve_configs([["-c", value]])


def test_an_option_without_a_value_is_named():
    with pytest.raises(UserError, match="-c needs a value"):
        resolve_configs([["-c"]])


@pytest.mark.parametrize(
    "value",
    [
        "demo",
        "text_classification/demo",
        "text_classification/demo.yaml",
        "configs/trainer/cpu.yaml",
    ],
)
def test_a_shipped_config_is_found_by_its_folder_too(value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ((_, path),) = resolve_configs([["-c", value]])
    assert path.removesuffix(".yaml").endswith(value.removeprefix("configs/").removesuffix(".yaml"))


def test_the_option_wandb_needs_no_value():
    options = [["--wandb=true"], ["--wandb=p"], ["--wandb", "p"], ["-c", ""]]
    assert read_options(["--wandb", "--wandb=p", "--wandb", "p", "-c", ""]) == options
