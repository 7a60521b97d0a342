"""Devices, precision, batch size and config files of inference."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from command_line import BEST, error_of, run
from jsonargparse import Namespace

from rnn_lab.commands._inference_options import devices_of
from rnn_lab.core.half_precision import PRECISIONS
from rnn_lab.core.loading import load
from rnn_lab.errors import UserError

TASKS = {
    "text": ("LSTMClassifier", "SyntheticReviews"),
    "series": ("GRUClassifier", "SyntheticChirps"),
    "translation": ("AttentionTranslator", "SyntheticDates"),
    "language": ("LSTMLanguageModel", "SyntheticText"),
    "forecasting": ("LSTMForecaster", "SyntheticSeries"),
}
NUMBERS = ("score", "log_probability")


def devices(accelerator, count):
    return devices_of(Namespace(trainer=Namespace(accelerator=accelerator, devices=count)))


def test_devices_are_validated(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices("cpu", 3) == ["cpu"] * 3
    assert devices("auto", 2) == devices("gpu", 2) == ["cuda:0", "cuda:1"]
    for accelerator, count, message in (
        ("gpu", 3, "trainer.devices is 3, but 2 GPUs are available"),
        ("tpu", 1, "trainer.accelerator must be auto, cpu or gpu, got tpu"),
        ("cpu", 0, "trainer.devices must be at least 1, got 0"),
    ):
        with pytest.raises(UserError, match=message):
            devices(accelerator, count)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert devices("auto", 2) == ["cpu"] * 2


def records(task):
    rng = np.random.default_rng(0)
    if task == "series":
        return [rng.normal(size=(n, 2)).astype("float32") for n in (7, 5, 9)]
    if task == "forecasting":
        dates = pd.date_range("2020", periods=240, freq="h")
        return pd.DataFrame({"date": dates, **{f"y{i}": rng.normal(size=240) for i in (1, 2, 3)}})
    return ["march 5 2020", "the film was good and touching", "1 may 1999"]


def values(answers):
    """Return the numbers of answers, one row each."""
    if isinstance(answers, pd.DataFrame):
        return answers.select_dtypes("number").to_numpy(float)
    rows = [
        list(answer["probabilities"].values())
        if "probabilities" in answer
        else [answer[name] for name in NUMBERS if name in answer]
        for answer in answers
    ]
    return np.array(rows, float)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Return a function from a task to the checkpoint of a tiny model."""
    folder = tmp_path_factory.mktemp("runs")

    def fit(task):
        model, data = TASKS[task]
        run_dir = folder / task
        sizes = ["--data.train_size=64", "--data.valid_size=32", "--model.hidden_dim=8"]
        sizes = sizes[2:] if data in ("SyntheticSeries", "SyntheticText") else sizes
        limits = ["--trainer.max_steps=2", "--trainer.limit_val_batches=1"]
        words = [f"--model={model}", f"--data={data}", f"--trainer.default_root_dir={run_dir}"]
        assert run("fit", *words, *sizes, *limits, "--trainer.accelerator=cpu") == 0
        return str(run_dir / "checkpoints/last.ckpt")

    return fit


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_answers_depend_on_the_precision_only_in_their_last_digits(task, fitted, monkeypatch):
    monkeypatch.delenv("RNN_LAB_RUN", raising=False)
    path = fitted(task)
    expected = values(load(path).predict(records(task)))
    for batch_size in (None, 1, 2):
        predictor = load(path)
        predictor.batch_size = batch_size
        np.testing.assert_allclose(values(predictor.predict(records(task))), expected, rtol=1e-5)
    for precision in (name for name in PRECISIONS if name != "16-mixed"):
        predictor = load(path)
        predictor.use_precision(precision)
        found = values(predictor.predict(records(task)))
        np.testing.assert_allclose(found, expected, rtol=0.05, atol=0.02, err_msg=precision)


def answers(capsys, *words):
    capsys.readouterr()
    assert run("predict", *words) == 0
    return capsys.readouterr().out


@pytest.mark.usefixtures("trained")
def test_options_of_inference_and_config_files(capsys):
    Path("texts.txt").write_text("a fine film\na dull one\n")
    words = ["--ckpt_path", BEST, "--input=texts.txt", "--format=csv"]
    plain = answers(capsys, *words)
    assert answers(capsys, *words, "--batch_size=1") == plain
    half = answers(capsys, *words, "--precision=bf16-true")
    assert half != plain
    assert answers(capsys, *words, "--trainer.precision=bf16-true") == half
    Path("options.yaml").write_text(
        f"ckpt_path: {BEST}\ninput: texts.txt\nformat: jsonl\ntrainer:\n  precision: bf16-true\n"
    )
    assert answers(capsys, "--format=csv", "-c", "options.yaml") == half
    assert answers(capsys, *words, "-c", "cpu") == plain
    Path("other.yaml").write_text("trainer:\n  max_epochs: 3\n")
    config = Path(BEST).parents[1] / "config.yaml"
    for extra, message in (
        (["--precision=bf17"], "precision must be one of 32-true, bf16-mixed"),
        (["--precision=16-mixed"], "precision 16-mixed needs a GPU"),
        (["--batch_size=0"], "batch_size must be at least 1, got 0"),
        (["-c", config], "is a config of training, which the checkpoint contains already"),
        (["-c", "other.yaml"], "max_epochs"),
        (["-c", "nothing.yaml"], "-c nothing.yaml does not exist"),
    ):
        assert message in error_of(capsys, "predict", *words, *extra)
