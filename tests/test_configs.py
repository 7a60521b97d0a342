"""Every shipped config runs one step, and some reach the figures of the pages."""

import csv
import json
import re
from pathlib import Path

import config_index
import pytest
import yaml
from config_index import CONFIGS, header, index

from rnn_lab import datamodules, models
from rnn_lab.__main__ import main
from rnn_lab.commands._build import build

ALL = sorted(path for path in CONFIGS.glob("*/*.yaml") if path.parent.name != config_index.CLAIMS)
EXPERIMENTS = [path for path in ALL if path.parent.name not in config_index.PROFILES]
PROFILES = [path for path in ALL if path.parent.name in config_index.PROFILES]


def data_of(config):
    return yaml.safe_load(config.read_text())["data"]["class_path"]


DEMO = CONFIGS / "text_classification/demo.yaml"
GENERATED = ("Synthetic", "AddingProblem", "CopyMemory")
ON_GENERATED = [config for config in EXPERIMENTS if data_of(config).startswith(GENERATED)]
UNAVAILABLE = ("gpu", "ddp", "slurm", "torchrun")  # need a GPU or a launcher of processes
GENERATED_DATA = sorted({data_of(config) for config in ON_GENERATED})
ON_ANY_MACHINE = [profile for profile in PROFILES if profile.stem not in UNAVAILABLE]
ON_REAL = [config for config in EXPERIMENTS if config not in ON_GENERATED]


@pytest.fixture(autouse=True)
def _empty_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def one_step(*args):
    return main(["fit", *map(str, args), "--trainer.fast_dev_run=1", "--trainer.accelerator=cpu"])


@pytest.mark.parametrize("config", ON_GENERATED, ids=lambda path: path.stem)
def test_an_experiment_on_generated_data_runs_one_step(config):
    assert one_step("-c", config) == 0


@pytest.mark.data
@pytest.mark.filterwarnings(
    "ignore:No (positive|negative) samples"
)  # a batch of reviews of one class
@pytest.mark.parametrize("config", ON_REAL, ids=lambda path: path.stem)
def test_an_experiment_on_real_data_runs_one_step(config, data_root):
    assert one_step("-c", config) == 0


@pytest.mark.parametrize(
    "profile", ON_ANY_MACHINE, ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_a_profile_can_be_combined_with_an_experiment(profile):
    assert one_step("-c", DEMO, "-c", profile) == 0


@pytest.mark.parametrize("config", ALL, ids=lambda path: path.stem)
def test_a_config_begins_with_what_it_is_and_what_it_gives(config):
    what, fields = header(config)
    comments = config.read_text().partition("\nmodel:")[0].splitlines()
    assert max(map(len, comments)) <= 100
    assert what[0].isupper()
    assert f"-c {config.stem}" in fields["Run"]
    if config in PROFILES:
        assert fields.keys() == {"Run"}
    elif fields["Result"].startswith("none measured"):
        assert fields.keys() == {"Result", "Run"}
    else:
        assert fields.keys() == {"Result", "Measured by", "Run"}
        assert re.search(r"\d", fields["Result"])
        program, *words = fields["Measured by"].split()
        assert program in ("python", "pytest")
        assert any((CONFIGS.parent / word).is_file() for word in words)


def test_the_index_has_every_config_with_its_comment():
    text = (CONFIGS / "README.md").read_text()
    assert text == index(), "run python tests/support/config_index.py"
    for path in ALL:
        assert f"({path.relative_to(CONFIGS)}) | {header(path).what} |" in text


def test_configs_are_in_folders_and_have_distinct_names():
    assert sorted(CONFIGS.rglob("*.yaml")) == sorted([*ALL, *CONFIGS.glob("claims/*.yaml")])
    assert len({path.stem for path in ALL}) == len(ALL)


def test_a_config_is_in_the_folder_of_the_task_of_its_model():
    for path in EXPERIMENTS:
        model = getattr(models, yaml.safe_load(path.read_text())["model"]["class_path"])
        assert model.__module__.split(".")[2] == path.parent.name


def test_every_architecture_has_a_config():
    trained = {yaml.safe_load(c.read_text())["model"]["class_path"] for c in EXPERIMENTS}
    assert trained == set(models.__all__)


def model_and_data(name):
    batch_type = getattr(models, name).batch_type
    data = next(
        data for data in GENERATED_DATA if getattr(datamodules, data).batch_type is batch_type
    )
    return f"--model={name}", f"--data={data}"


@pytest.mark.parametrize("name", models.__all__)
def test_model_and_data_are_built_without_further_options(name):
    built = build([*model_and_data(name), "--trainer.accelerator=cpu"])
    assert type(built.model) is getattr(models, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", models.__all__)
def test_model_and_data_need_no_further_options(name):
    assert one_step(*model_and_data(name)) == 0


@pytest.mark.data
@pytest.mark.parametrize("data", ["SST2", "TREC", "MR", "R8", "Names"])
def test_real_text_data_needs_no_further_options(data, data_root):
    assert one_step("--model=LSTMClassifier", f"--data={data}") == 0


@pytest.mark.data
@pytest.mark.parametrize("data", ["Multi30k", "Tatoeba"])
def test_real_translation_data_needs_no_further_options(data, data_root):
    assert one_step("--model=AttentionTranslator", f"--data={data}") == 0


@pytest.mark.data
def test_real_sequence_data_needs_no_further_options(data_root):
    assert one_step("--model=BiGRUSequenceClassifier", "--data=JapaneseVowels") == 0


@pytest.mark.data
@pytest.mark.parametrize("data", ["ETTh1", "ETTm1", "ExchangeRate"])
def test_real_forecasting_data_needs_no_further_options(data, data_root):
    assert one_step("--model=LSTMForecaster", f"--data={data}") == 0


@pytest.mark.slow
@pytest.mark.data
def test_etth1_forecasts_reach_the_error_in_the_readme(data_root):
    args = ["--test=true", "--trainer.default_root_dir=run", "--trainer.accelerator=cpu"]
    assert main(["fit", "-c", str(CONFIGS / "forecasting/etth1_patched_lstm.yaml"), *args]) == 0
    assert json.loads(Path("run/scores.json").read_text())["scores"]["mse"] <= 0.378
    assert main(["backtest", "--ckpt_path", "run/checkpoints/best.ckpt"]) == 0
    with open("run/backtest/backtest.csv", newline="") as file:
        rows = {row["model"]: row for row in csv.DictReader(file) if row["step"] == "all"}
    rolling = rows["PatchedLSTMForecaster, rolling intervals"]
    assert abs(float(rolling["coverage_80"]) - 0.80) <= 0.02
    assert abs(float(rolling["coverage_95"]) - 0.95) <= 0.02


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_dates_are_translated_with_the_accuracy_in_the_readme():
    args = ["--test=true", "--trainer.default_root_dir=run", "--trainer.accelerator=cpu"]
    assert main(["fit", "-c", str(CONFIGS / "translation/attention_translator.yaml"), *args]) == 0
    assert json.loads(Path("run/scores.json").read_text())["scores"]["exact_match"] >= 0.99
