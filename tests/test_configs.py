"""Every shipped config runs a step; the demo reaches what the README says."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from rnn_lab import datamodules, models
from rnn_lab.__main__ import main

CONFIGS = Path(__file__).parent.parent / "configs"
OF_PROFILES = ("trainer", "logger")  # folders; all others are those of tasks
EVERY = sorted(CONFIGS.glob("*/*.yaml"))
EXPERIMENTS = [path for path in EVERY if path.parent.name not in OF_PROFILES]
PROFILES = [path for path in EVERY if path.parent.name in OF_PROFILES]


def data_of(config):
    return yaml.safe_load(config.read_text())["data"]["class_path"]


DEMO = CONFIGS / "text_classification/demo.yaml"
GENERATED = ("Synthetic", "AddingProblem", "CopyMemory")
ON_GENERATED = [config for config in EXPERIMENTS if data_of(config).startswith(GENERATED)]
SEVERAL = ("gpu", "ddp", "slurm", "torchrun")  # a GPU, or processes that somebody starts
GENERATED_DATA = {data_of(config) for config in ON_GENERATED}
ON_ANY_MACHINE = [profile for profile in PROFILES if profile.stem not in SEVERAL]
ON_REAL = [config for config in EXPERIMENTS if config not in ON_GENERATED]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def one_step(*words):
    return main(["fit", *map(str, words), "--trainer.fast_dev_run=1", "--trainer.accelerator=cpu"])


@pytest.mark.parametrize("config", ON_GENERATED, ids=lambda path: path.stem)
def test_an_experiment_runs_one_step(config):
    assert one_step("-c", config) == 0


@pytest.mark.data
@pytest.mark.filterwarnings("ignore:No (positive|negative) samples")  # one batch of like reviews
@pytest.mark.parametrize("config", ON_REAL, ids=lambda path: path.stem)
def test_an_experiment_on_real_data_runs_one_step(config, data_root):
    assert one_step("-c", config) == 0


@pytest.mark.parametrize(
    "profile", ON_ANY_MACHINE, ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_a_profile_stacks_on_an_experiment(profile):
    assert one_step("-c", DEMO, "-c", profile) == 0


@pytest.mark.parametrize("config", [*EXPERIMENTS, *PROFILES], ids=lambda path: path.stem)
def test_a_config_says_what_it_is(config):
    assert config.read_text().startswith("# ")


def test_every_config_lies_in_a_folder_and_has_a_name_of_its_own():
    assert sorted(CONFIGS.rglob("*.yaml")) == EVERY
    assert len({path.stem for path in EVERY}) == len(EVERY)


def test_a_config_lies_in_the_folder_of_its_models_task():
    for path in EXPERIMENTS:
        model = getattr(models, yaml.safe_load(path.read_text())["model"]["class_path"])
        assert model.__module__.split(".")[2] == path.parent.name


def test_every_architecture_has_a_config_of_its_name():
    trained = {yaml.safe_load(c.read_text())["model"]["class_path"] for c in EXPERIMENTS}
    assert trained == set(models.__all__)


@pytest.mark.parametrize("name", models.__all__)
def test_model_and_data_by_name_alone_are_enough(name):
    wanted = getattr(models, name).batch_type
    data = next(data for data in GENERATED_DATA if getattr(datamodules, data).batch_type is wanted)
    assert one_step(f"--model={name}", f"--data={data}") == 0


@pytest.mark.data
@pytest.mark.parametrize("data", ["SST2", "TREC", "MR", "R8", "Names"])
def test_real_data_by_name_alone_is_enough(data, data_root):
    assert one_step("--model=LSTMClassifier", f"--data={data}") == 0


@pytest.mark.data
@pytest.mark.parametrize("data", ["Multi30k", "Tatoeba"])
def test_real_pairs_by_name_alone_are_enough(data, data_root):
    assert one_step("--model=AttentionTranslator", f"--data={data}") == 0


@pytest.mark.data
def test_real_series_by_name_alone_are_enough(data_root):
    assert one_step("--model=BiGRUSequenceClassifier", "--data=JapaneseVowels") == 0


@pytest.mark.data
@pytest.mark.parametrize("data", ["ETTh1", "ETTm1", "ExchangeRate"])
def test_real_series_to_forecast_by_name_alone_are_enough(data, data_root):
    assert one_step("--model=LSTMForecaster", f"--data={data}") == 0


@pytest.mark.slow
@pytest.mark.data
def test_a_transformer_is_forecast_as_the_readme_says(data_root):
    words = ["--test=true", "--trainer.default_root_dir=run", "--trainer.accelerator=cpu"]
    assert main(["fit", "-c", str(CONFIGS / "forecasting/etth1_patched_lstm.yaml"), *words]) == 0
    assert json.loads(Path("run/scores.json").read_text())["scores"]["mse"] <= 0.378
    assert main(["backtest", "--ckpt_path", "run/checkpoints/best.ckpt"]) == 0
    with open("run/backtest/backtest.csv", newline="") as file:
        rows = {row["model"]: row for row in csv.DictReader(file) if row["step"] == "all"}
    rolling = rows["PatchedLSTMForecaster, rolling intervals"]
    assert abs(float(rolling["coverage_80"]) - 0.80) <= 0.02
    assert abs(float(rolling["coverage_95"]) - 0.95) <= 0.02


@pytest.mark.slow
def test_dates_are_written_as_the_readme_says():
    words = ["--test=true", "--trainer.default_root_dir=run", "--trainer.accelerator=cpu"]
    assert main(["fit", "-c", str(CONFIGS / "translation/attention_translator.yaml"), *words]) == 0
    assert json.loads(Path("run/scores.json").read_text())["scores"]["exact_match"] >= 0.99


@pytest.mark.slow
def test_the_demo_reads_the_order_of_words(capsys):
    words = ["--test=true", "--trainer.default_root_dir=run", "--trainer.accelerator=cpu"]
    assert main(["fit", "-c", str(DEMO), *words]) == 0
    with open("run/metrics.csv", newline="") as file:
        tested = [row["test/accuracy"] for row in csv.DictReader(file) if row["test/accuracy"]]
    assert float(tested[-1]) >= 0.98
    capsys.readouterr()
    Path("own.txt").write_text("the plot was not bad at all .\nthe plot was bad , not good .\n")
    ask = ["predict", "--ckpt_path", "run/checkpoints/best.ckpt", "--input", "own.txt"]
    assert main(ask) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["label"] for answer in answers] == ["positive", "negative"]
