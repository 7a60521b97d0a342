"""`rnn-lab fit`: outputs, run directories, resuming."""

from pathlib import Path

import pytest
import torch
from command_line import BEST, OWN, REVIEWS, RUN, SIZES, error_of, rows, run

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_a_run_writes_all_files_to_its_directory(trained):
    assert {path.name for path in RUN.iterdir()} == {
        ".artifacts", "config.yaml", "checkpoints", "metrics.csv", "curves.png", "state.json",
        "cost.json",
    }  # fmt: skip
    assert {path.name for path in (RUN / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert {"step", "epoch", "train/loss", "val/loss", "val/accuracy"} <= rows()[0].keys()


def test_throughput_is_logged_every_epoch():
    assert run("fit", *REVIEWS, *SIZES, "--name=a", "--trainer.max_epochs=3") == 0
    speeds = [float(v) for v in (r["train/targets_per_second"] for r in rows()) if v]
    assert len(speeds) == 3
    assert all(speed > 0 for speed in speeds)


def test_runs_without_a_name_are_numbered():
    for _ in range(2):
        assert run("fit", *REVIEWS, *SIZES) == 0
    names = {path.name for path in Path("runs/SyntheticReviews").iterdir()}
    assert names == {"LSTMClassifier-1", "LSTMClassifier-2"}


def test_fit_can_test_the_best_checkpoint():
    assert run("fit", *REVIEWS, *SIZES, "--name=a", "--test=true") == 0
    assert rows()[-1]["test/accuracy"]


def test_another_checkpoint_callback_does_not_change_what_is_tested(caplog):
    other = ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.dirpath=other"]
    rate = ["--model.optimizer=Adam", "--model.optimizer.lr=0.1", "--trainer.max_epochs=3"]
    assert run("fit", *REVIEWS, *SIZES, *rate, *other, "--name=a", "--test=true") == 0
    assert f"best checkpoint: {BEST}" in caplog.text
    tested = rows()[-1]
    assert run("test", "--ckpt_path", BEST) == 0
    assert tested["test/loss"] == rows("metrics.test.csv")[-1]["test/loss"]


def test_a_run_resumes_from_its_last_checkpoint(trained):
    last = RUN / "checkpoints/last.ckpt"
    assert run("fit", "--ckpt_path", last, "--trainer.max_epochs=2") == 0
    assert torch.load(last, weights_only=True)["epoch"] == 1
    assert {row["epoch"] for row in rows()} >= {"1", "2"}


def test_a_complete_run_is_only_tested_if_the_test_is_missing(caplog):
    rate = ["--model.optimizer.lr=0.1", "--early_stopping.patience=1"]
    rate.append("--early_stopping.patience_steps=0")
    args = [*REVIEWS, *SIZES, *rate, "--name=a", "--ckpt_path=last", "--trainer.max_epochs=200"]
    assert run("fit", *args) == 0
    names = {path: path.read_bytes() for path in (RUN / "checkpoints").iterdir()}
    epochs = [row["epoch"] for row in rows()]
    for tests in (1, 1):
        assert run("fit", *args, "--test=true") == 0
        assert {path: path.read_bytes() for path in (RUN / "checkpoints").iterdir()} == names
        assert [row["epoch"] for row in rows() if not row["test/loss"]] == epochs
        assert len([row for row in rows() if row["test/loss"]]) == tests
    assert "SyntheticReviews/a is complete" in caplog.text
    assert "it was tested already" in caplog.text
    assert run("fit", *args, "--test=true", "--early_stopping.patience=2") == 0
    assert len([row for row in rows() if row["test/loss"]]) == 2


@pytest.mark.parametrize("optimizer", [[], ["--model.optimizer=Adam", "--model.optimizer.lr=0.01"]])
def test_last_starts_a_new_run_or_resumes(optimizer):
    args = [*REVIEWS, *SIZES, *optimizer, "--name=a", "--ckpt_path=last"]
    assert run("fit", *args) == 0
    assert run("fit", *args, "--trainer.max_epochs=2") == 0
    assert torch.load(RUN / "checkpoints/last.ckpt", weights_only=True)["epoch"] == 1


def test_the_learning_rate_cannot_change_when_resuming_from_last(capsys):
    args = [*REVIEWS, *SIZES, "--model.optimizer=Adam", "--name=a", "--ckpt_path=last"]
    assert run("fit", *args) == 0
    assert "cannot change optimizer when resuming" in error_of(
        capsys, "fit", *args, "--model.optimizer.lr=0.01"
    )


def test_a_new_learning_rate_requires_init_from(trained, capsys):
    args = ["--model.optimizer=Adam", "--model.optimizer.lr=0.01", "--trainer.max_epochs=2"]
    line = error_of(capsys, "fit", "--ckpt_path", BEST, *args)
    assert "cannot change optimizer when resuming" in line
    assert f"--init_from={BEST}" in line
    assert run("fit", "--init_from", BEST, *args, "--name=b") == 0
    old, new = (torch.load(RUN.with_name(n) / "checkpoints/best.ckpt")["state_dict"] for n in "ab")
    assert old.keys() == new.keys()


def test_fewer_epochs_than_trained_are_refused_before_the_run_is_touched(trained, capsys):
    last = RUN / "checkpoints/last.ckpt"
    assert run("fit", f"--ckpt_path={last}", "--trainer.max_epochs=2") == 0
    before = {path: path.read_bytes() for path in RUN.rglob("*") if path.is_file()}
    line = error_of(capsys, "fit", f"--ckpt_path={last}", "--trainer.max_epochs=1")
    assert "set --trainer.max_epochs above" in line
    assert "Misconfiguration" not in line
    assert {path: path.read_bytes() for path in RUN.rglob("*") if path.is_file()} == before


def test_a_config_and_init_from_are_given_together(trained):
    Path("rate.yaml").write_text("trainer:\n  gradient_clip_val: 0.5\n", encoding="utf-8")
    assert run("fit", "-c", "rate.yaml", "--init_from", BEST, "--trainer.max_epochs=1") == 0


def test_init_from_keeps_the_vocabulary(trained, tmp_path):
    Path("own.csv").write_text(OWN)
    args = ["--data=TextFiles", "--data.train=own.csv", "--trainer.max_epochs=1", "--name=own"]
    assert run("fit", "--init_from", BEST, *args) == 0
    first, second = (
        torch.load(path, weights_only=True)["rnn_lab"]["data"]["tokenizer"]["words"]
        for path in (BEST, "runs/TextFiles/own/checkpoints/best.ckpt")
    )
    assert first == second


def test_an_existing_run_is_kept_unless_overwritten(trained, capsys):
    assert "already contains a run" in error_of(capsys, "fit", *REVIEWS, *SIZES, "--name=a")
    assert run("fit", *REVIEWS, *SIZES, "--name=a", "--overwrite=true") == 0


def test_the_run_directory_can_be_given_as_a_path():
    assert run("fit", *REVIEWS, *SIZES, "--trainer.default_root_dir=here") == 0
    assert Path("here/checkpoints/best.ckpt").exists()


def test_errors_of_testing_are_found_before_training(capsys):
    Path("own.csv").write_text(OWN)
    args = ["--model=LSTMClassifier", "--data=TextFiles", "--data.train=own.csv", "--test=true"]
    assert "set --data.test=FILE" in error_of(capsys, "fit", *args)
    Path("own.csv").write_text(OWN.replace("negative", "positive"))
    assert "num_classes must be at least 2, got 1" in error_of(capsys, "fit", *args[:-1])
    assert not Path("runs").exists()


def test_a_nan_loss_stops_the_run(capsys):
    args = ["--model.optimizer=SGD", "--model.optimizer.lr=1e39", "--trainer.max_epochs=5"]
    line = error_of(capsys, "fit", *REVIEWS, *SIZES, *args, "--trainer.gradient_clip_val=null")
    assert "loss is nan at step" in line


def test_multi_label_classification_trains_and_tests():
    Path("own.csv").write_text(
        "label,text\n" + "".join(f"a|b,one {i}\nb,two {i}\n,three {i}\n" for i in range(20))
    )
    args = [
        *("--data=TextFiles", "--data.train=own.csv", "--data.test=own.csv", "--name=a"),
        *(
            "--data.columns.label_separator=|",
            "--trainer.max_epochs=1",
            "--model.loss.multi_label=true",
        ),
        "--model.loss.class_weights=balanced",
    ]
    assert run("fit", "--model=TextClassifier", *SIZES, *args, "--test=true") == 0


def test_a_sequence_classifier_trains():
    args = ["--data.train_size=32", "--data.valid_size=8", "--trainer.max_epochs=1", "--name=a"]
    assert run("fit", "--model=GRUClassifier", "--data=SyntheticChirps", *args) == 0


def test_a_fast_dev_run_writes_nothing():
    assert run("fit", *REVIEWS, *SIZES, "--trainer.fast_dev_run=true") == 0
    assert not Path("runs").exists()
