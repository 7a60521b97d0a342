"""Learning rate and batch size that Lightning's finders search for."""

import pytest
import torch
import yaml
from command_line import REVIEWS, RUN, SIZES, TINY, error_of, resolved, rows, run

pytestmark = pytest.mark.usefixtures("empty_folder")

RATE = [
    "--trainer.callbacks=LearningRateFinder",
    *("--trainer.callbacks.num_training_steps=15", "--trainer.callbacks.min_lr=1e-4"),
]
SIZE = ["--trainer.callbacks=BatchSizeFinder", "--trainer.callbacks.max_trials=3"]
FIT = [
    "fit",
    *REVIEWS,
    *SIZES,
    "--name=a",
    "--trainer.max_epochs=5",
    "--trainer.log_every_n_steps=1",
]
DATES = ["--model=Seq2SeqTranslator", "--data=SyntheticDates", *TINY, *SIZES]


def rates():
    return [float(row["train/lr"]) for row in rows() if row["train/lr"]]


@pytest.mark.parametrize("optimizer", [pytest.param("default", marks=pytest.mark.slow), "SGD"])
def test_the_found_learning_rate_is_used_and_saved_in_config_and_checkpoint(optimizer, caplog):
    chosen = [] if optimizer == "default" else [f"--model.optimizer={optimizer}"]
    assert run(*FIT, *RATE, *chosen) == 0
    config = resolved()
    saved = config["model"]["init_args"]["optimizer"]
    assert saved["class_path"].endswith("Adam" if optimizer == "default" else optimizer)
    rate = saved["init_args"]["lr"]
    assert rates() == pytest.approx([rate] * len(rates()), rel=1e-5)
    assert rate not in (0.001, 0.0001)
    assert config["trainer"]["callbacks"] is None
    messages = [r.message for r in caplog.records if r.message.startswith("LearningRateFinder")]
    assert messages == [f"LearningRateFinder: learning rate {rate:.3g}"]
    content = torch.load(RUN / "checkpoints/last.ckpt", weights_only=True)
    stored = content["rnn_lab"]["model"]["init_args"]["optimizer"]
    assert stored["init_args"]["lr"] == rate


@pytest.mark.slow
def test_a_schedule_starts_from_the_found_learning_rate():
    assert run(*FIT, *RATE, "--model.scheduler=CosineDecay", "--model.scheduler.final=0") == 0
    rate = resolved()["model"]["init_args"]["optimizer"]["init_args"]["lr"]
    assert rates()[0] == pytest.approx(rate, rel=1e-5)
    assert rates() == sorted(rates(), reverse=True)
    assert rates()[-1] < 0.1 * rate


def test_the_found_batch_size_is_used_and_saved_in_config_and_checkpoint(caplog):
    schedule = ["--model.scheduler=CosineDecay", "--model.scheduler.final=0"]
    assert run(*FIT, *SIZE, *schedule) == 0
    assert resolved()["data"]["init_args"]["batch_size"] == 8
    assert [r.message for r in caplog.records if "batch size" in r.message] == [
        "BatchSizeFinder: batch size 8"
    ]
    content = torch.load(RUN / "checkpoints/last.ckpt", weights_only=True)
    assert content["rnn_lab"]["data"]["init_args"]["batch_size"] == 8
    assert content["global_step"] == 5 * 48 // 8
    assert rates()[-1] < 0.1 * rates()[0]  # the schedule has the steps of that batch size


@pytest.mark.slow
@pytest.mark.parametrize("finder", [RATE, SIZE], ids=["rate", "size"])
def test_a_run_whose_values_were_found_resumes_exactly_without_a_search(finder):
    command = [*FIT, *finder, "--ckpt_path=last"]
    assert run(*command, "--trainer.max_epochs=6") == 0
    whole = torch.load(RUN / "checkpoints/last.ckpt", weights_only=True)
    expected = resolved()
    assert run(*FIT, *finder, "--overwrite") == 0
    assert run(*command, "--trainer.max_epochs=6") == 0
    resumed = torch.load(RUN / "checkpoints/last.ckpt", weights_only=True)
    assert resumed["global_step"] == whole["global_step"]
    for name, value in whole["state_dict"].items():
        assert torch.equal(resumed["state_dict"][name], value)
    assert resolved() == expected


@pytest.mark.slow
def test_the_config_of_a_run_repeats_it_with_the_found_values():
    assert run(*FIT, *RATE) == 0
    assert run("fit", "-c", RUN / "config.yaml", "--experiment=other", "--name=b") == 0
    saved = yaml.safe_load(RUN.parents[1].joinpath("other/b/config.yaml").read_text())
    first, second = (c["model"]["init_args"]["optimizer"] for c in (resolved(), saved))
    assert second["init_args"]["lr"] == first["init_args"]["lr"]


@pytest.mark.slow
def test_other_callbacks_stay_in_the_config():
    others = ["--trainer.callbacks+=LearningRateMonitor", "--trainer.logger=CSVMetricsLogger"]
    assert run(*FIT, *SIZE, *others) == 0
    (callback,) = resolved()["trainer"]["callbacks"]
    assert callback["class_path"].endswith("LearningRateMonitor")


@pytest.mark.slow
def test_a_test_after_training_searches_no_batch_size(caplog):
    assert run(*FIT, *SIZE, "--test") == 0
    assert sum("batch size" in r.message for r in caplog.records) == 1
    assert resolved()["data"]["init_args"]["batch_size"] == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            [*FIT, *RATE, "--trainer.max_epochs=2"],
            "needs 15 steps, but 2 epochs have 6: set --trainer.callbacks.num_training_steps=6",
        ),
        (
            ["fit", *DATES, "--data.batch_tokens=99", *SIZE],
            "no effect, because --data.batch_tokens replaces batch_size",
        ),
        ([*FIT, *RATE, "--trainer.callbacks.attr_name=rate"], "set to rate, but could not find"),
    ],
    ids=["steps", "tokens", "attribute"],
)
def test_a_search_without_effect_is_refused(options, message, capsys):
    assert message in error_of(capsys, *options)
