"""`fit`, `validate` and `test` on tiny generated data: outputs, precedence, errors."""

import csv
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
import yaml

from rnn_lab.__main__ import main
from rnn_lab.commands._parsing import sort_by_precedence, split_options

TINY = [
    *("--data.train_size=48", "--data.valid_size=16", "--data.test_size=24"),
    *("--data.batch_size=16", "--trainer.max_epochs=1", "--trainer.accelerator=cpu"),
]
REVIEWS = ["--model=LSTMClassifier", "--data=SyntheticReviews", *TINY]
SIZES = ["--model.embedding_dim=8", "--model.hidden_dim=8"]
OWN = "label,text\n" + "".join(f"positive,fine {i}\nnegative,dull {i}\n" for i in range(20))
RUN = Path("runs/SyntheticReviews/a")
BEST = str(RUN / "checkpoints/best.ckpt")


@pytest.fixture(autouse=True)
def _empty_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RNN_LAB_RUN", raising=False)
    with warnings.catch_warnings():
        yield


def run(*args):
    return main([str(arg) for arg in args])


@pytest.fixture
def trained():
    assert run("fit", *REVIEWS, *SIZES, "--name=a") == 0


def error_of(capsys, *args):
    """Return the error message, of one line, of a command that fails."""
    try:
        status = run(*args)
    except SystemExit as stop:
        status = stop.code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("rnn-lab:")]
    assert status in (1, 2)
    assert len(lines) == 1
    return lines[0]


def rows(name="metrics.csv"):
    with open(RUN / name, newline="") as file:
        return list(csv.DictReader(file))


def resolved(name="config.yaml"):
    return yaml.safe_load((RUN / name).read_text())


def test_a_run_writes_all_files_to_its_directory(trained):
    assert {path.name for path in RUN.iterdir()} == {
        ".artifacts", "config.yaml", "checkpoints", "metrics.csv", "curves.png", "state.json"
    }  # fmt: skip
    assert {path.name for path in (RUN / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert {"step", "epoch", "train/loss", "val/loss", "val/accuracy"} <= rows()[0].keys()


def test_throughput_is_logged_every_epoch():
    assert run("fit", *REVIEWS, *SIZES, "--name=a", "--trainer.max_epochs=3") == 0
    speeds = [float(v) for v in (r["train/targets_per_second"] for r in rows()) if v]
    assert len(speeds) == 3
    assert all(speed > 0 for speed in speeds)


def test_defaults_match_the_readme(trained):
    config = resolved()
    assert config["seed_everything"] == 42
    assert config["early_stopping"]["patience"] == 3
    assert config["trainer"]["gradient_clip_val"] == 1.0
    assert config["trainer"]["max_epochs"] == 1  # set on the command line


def test_runs_without_a_name_are_numbered():
    for _ in range(2):
        assert run("fit", *REVIEWS, *SIZES) == 0
    names = {path.name for path in Path("runs/SyntheticReviews").iterdir()}
    assert names == {"LSTMClassifier-1", "LSTMClassifier-2"}


def test_the_order_of_options_does_not_matter():
    args = [*TINY, *SIZES, "--name=a", "--data=SyntheticReviews", "--model", "LSTMClassifier"]
    assert run("fit", *args) == 0
    assert resolved()["model"]["init_args"]["hidden_dim"] == 8


def test_the_command_line_overrides_a_config_file_in_any_position():
    Path("a.yaml").write_text(
        "model: {class_path: LSTMClassifier, init_args: {embedding_dim: 4, hidden_dim: 4}}\n"
        "data: {class_path: SyntheticReviews}\n"
    )
    assert run("fit", *TINY, "--model.hidden_dim=6", "-c", "a.yaml", "--name=a") == 0
    arguments = resolved()["model"]["init_args"]
    assert (arguments["embedding_dim"], arguments["hidden_dim"]) == (4, 6)


def test_test_requires_only_a_checkpoint_which_options_override(trained, capfd):
    assert run("test", "--ckpt_path", BEST, "--data.batch_size=5") == 0
    config = resolved("config.test.yaml")
    assert config["ckpt_path"] == str(BEST)  # the tested checkpoint
    assert config["data"]["init_args"]["batch_size"] == 5  # from the command line
    assert config["data"]["init_args"]["test_size"] == 24  # from the checkpoint
    assert 0 <= float(rows("metrics.test.csv")[-1]["test/accuracy"]) <= 1
    assert "test/accuracy" not in rows()[-1]  # the training metrics are unchanged
    assert (RUN / "confusion_matrix.png").exists()
    assert (RUN / "mistakes.csv").exists()


def test_validate_reproduces_the_metrics_of_training(trained):
    assert run("validate", "--ckpt_path", BEST) == 0
    (expected,) = [row["val/accuracy"] for row in rows() if row["val/accuracy"]]
    assert rows("metrics.validate.csv")[-1]["val/accuracy"] == expected


def test_fit_can_test_the_best_checkpoint():
    assert run("fit", *REVIEWS, *SIZES, "--name=a", "--test=true") == 0
    assert rows()[-1]["test/accuracy"]


def test_the_saved_averaged_weights_are_tested():
    """Lightning would test the weights before averaging, which it keeps for resuming."""
    average = [
        "--trainer.callbacks+=lightning.pytorch.callbacks.EMAWeightAveraging",
        "--trainer.callbacks.decay=0.9",
    ]
    rate = ["--model.optimizer=Adam", "--model.optimizer.lr=0.05"]
    assert run("fit", *REVIEWS, *SIZES, *average, *rate, "--name=a", "--test=true") == 0
    assert run("test", "--ckpt_path", BEST, *average) == 0
    after_fit = [row["test/loss"] for row in rows() if row["test/loss"]]
    assert after_fit == [row["test/loss"] for row in rows("metrics.test.csv") if row["test/loss"]]
    saved = torch.load(BEST, weights_only=True)
    assert not torch.equal(
        saved["state_dict"]["fc.weight"], saved["current_model_state"]["fc.weight"]
    )


def test_a_run_resumes_from_its_last_checkpoint(trained):
    last = RUN / "checkpoints/last.ckpt"
    assert run("fit", "--ckpt_path", last, "--trainer.max_epochs=2") == 0
    assert torch.load(last, weights_only=True)["epoch"] == 1
    assert {row["epoch"] for row in rows()} >= {"0", "1"}


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


def test_init_from_keeps_the_vocabulary(trained, tmp_path):
    Path("own.csv").write_text(OWN)
    args = ["--data=TextFiles", "--data.train=own.csv", "--trainer.max_epochs=1", "--name=own"]
    assert run("fit", "--init_from", BEST, *args) == 0
    first, second = (
        torch.load(path, weights_only=True)["rnn_lab"]["data"]["tokenizer"]["words"]
        for path in (BEST, "runs/TextFiles/own/checkpoints/best.ckpt")
    )
    assert first == second


def test_a_checkpoint_of_own_files_asks_for_the_test_file(capsys):
    Path("own.csv").write_text(OWN)
    args = ["--data=TextFiles", "--data.train=own.csv", "--trainer.max_epochs=1", "--name=own"]
    assert run("fit", "--model=LSTMClassifier", *SIZES, *args) == 0
    best = "runs/TextFiles/own/checkpoints/best.ckpt"
    assert "--data.test=FILE" in error_of(capsys, "test", "--ckpt_path", best)
    assert run("test", "--ckpt_path", best, "--data.test=own.csv") == 0
    saved = torch.load(best, weights_only=True)
    del saved["state_dict"], saved["optimizer_states"]
    assert "own.csv" not in str(saved)


def test_a_used_folder_is_refused_or_overwritten(trained, capsys):
    assert "holds a run already" in error_of(capsys, "fit", *REVIEWS, *SIZES, "--name=a")
    assert run("fit", *REVIEWS, *SIZES, "--name=a", "--overwrite=true") == 0


def test_a_saved_config_can_be_reused_for_another_run(trained):
    before = (RUN / "checkpoints/last.ckpt").read_bytes()
    assert not {"name", "overwrite", "ckpt_path"} & resolved().keys()
    assert run("fit", "-c", RUN / "config.yaml", "--experiment=other", "--name=b") == 0
    assert (RUN / "checkpoints/last.ckpt").read_bytes() == before
    assert Path("runs/other/b/checkpoints/last.ckpt").exists()


def test_the_run_directory_can_be_given_as_a_path():
    assert run("fit", *REVIEWS, *SIZES, "--trainer.default_root_dir=here") == 0
    assert Path("here/checkpoints/best.ckpt").exists()


def test_optimizer_and_schedule_are_set_on_the_command_line():
    args = [
        *("--model.optimizer=AdamW", "--model.optimizer.weight_decay=0.1", "--name=a"),
        *("--model.scheduler=CosineDecay", "--model.scheduler.final=0.5"),
    ]
    assert run("fit", *REVIEWS, *SIZES, *args) == 0
    saved = torch.load(BEST, weights_only=True)
    assert saved["optimizer_states"][0]["param_groups"][0]["weight_decay"] == 0.1
    assert saved["lr_schedulers"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["fit", "--model=LSTMClasifier", "--data=IMDB"], "did you mean LSTMClassifier"),
        (["fit", "--model=LSTMClassifier", "--data=IMBD"], "did you mean IMDB"),
        (["fit", "--model=GRUClassifier", "--data=IMDB"],
         "provides TextBatch; try TextClassifier"),
        (["fit", "--model=LSTMClassifier", "--data=SyntheticChirps"],
         "try LSTMSequenceClassifier"),
        (["fit", "--model=LSTMClassifier"], "give --data=NAME"),
        (["fit", *REVIEWS, "--model.hiden_dim=8"], "LSTMClassifier has no argument hiden_dim"),
        (["fit", *REVIEWS, "--trainer.max_epochs=many"], "--trainer.max_epochs must be int"),
        (["fit", *REVIEWS, "--trainer.max_epoch=3"], "max_epoch"),
        (["fit", *REVIEWS, "--model.num_layers=0"], "num_layers must be at least 1, got 0"),
        (["fit", *REVIEWS, "--ckpt_path=nowhere.ckpt"], "nowhere.ckpt does not exist"),
        (["fit", *REVIEWS, "--ckpt_path=last"], "requires --name"),
        (["fit", *REVIEWS, "-c", "nowhere.yaml"], "nowhere.yaml"),
        (["test", *REVIEWS], "test requires --ckpt_path"),
        (["validate", *REVIEWS], "validate requires --ckpt_path"),
        (["test"], "test requires --ckpt_path"),
        (["fit", *REVIEWS, "--model.vocab_size=5"], "vocab_size is set by the data"),
        (["fit", *REVIEWS, "--name=../a"], "--name must be a plain name"),
        (["fit", *REVIEWS, "--experiment=.."], "--experiment must be a plain name"),
        (["fit", *REVIEWS, "--trainer.devices=0"], "devices"),
        (["fit", *REVIEWS, "--trainer.max_epochs=-5"], "max_epochs"),
        (["fit", "--model=LSTMClassifier", "--data=TextFiles"], "set --data.train=FILE"),
        (["fit", "--model=LSTMClassifier", "--data=TextFiles", "--data.train=no.csv"],
         "no.csv cannot be read"),
        (["fit", "--model=SequenceRegressor", "--data=LongRangeDataModule"],
         "unknown --data=LongRangeDataModule"),
        (["fit", "--model=nowhere.Model", "--data=SyntheticReviews"],
         "nowhere.Model cannot be imported"),
        (["fit", *REVIEWS, "--model.optimizer=Adma"], "invalid value for optimizer: Adma"),
        (["fti"], "did you mean fit?"),
        (["list", "all"], "list takes no options"),
    ],
)  # fmt: skip
def test_an_invalid_command_line_is_reported_in_one_helpful_line(args, message, capsys):
    assert message in error_of(capsys, *args)
    assert not Path("runs").exists()


def test_a_checkpoint_of_another_project_is_rejected(capsys):
    torch.save({"state_dict": {}}, "other.ckpt")
    Path("broken.ckpt").write_bytes(b"not a checkpoint")
    assert "another project" in error_of(capsys, "test", "--ckpt_path=other.ckpt")
    assert "damaged" in error_of(capsys, "test", "--ckpt_path=broken.ckpt")


def test_a_binary_classifier_rejects_three_classes(capsys):
    Path("own.csv").write_text(OWN + "mixed,so so\n")
    args = ["--data=TextFiles", "--data.train=own.csv", "--trainer.max_epochs=1"]
    line = error_of(capsys, "fit", "--model=SentimentLSTM", *args)
    assert "SentimentLSTM predicts 2 classes, TextFiles has 3: try --model=LSTMClassifier" in line


def test_errors_of_testing_are_found_before_training(capsys):
    Path("own.csv").write_text(OWN)
    args = ["--model=LSTMClassifier", "--data=TextFiles", "--data.train=own.csv", "--test=true"]
    assert "set --data.test=FILE" in error_of(capsys, "fit", *args)
    Path("own.csv").write_text(OWN.replace("negative", "positive"))
    assert "num_classes must be at least 2, got 1" in error_of(capsys, "fit", *args[:-1])
    assert not Path("runs").exists()


def test_an_optimizer_option_without_class_selects_adam():
    assert run("fit", *REVIEWS, *SIZES, "--name=a", "--model.optimizer.lr=0.02") == 0
    (group,) = torch.load(BEST, weights_only=True)["optimizer_states"][0]["param_groups"]
    assert group["lr"] == 0.02


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


def test_options_are_grouped_with_their_values():
    args = ["--a=1", "-c", "x.yaml", "--b", "-2", "--flag", "--input", "-"]
    expected = [["--a=1"], ["-c", "x.yaml"], ["--b", "-2"], ["--flag"], ["--input", "-"]]
    assert split_options(args) == expected


def test_config_files_and_classes_take_precedence_in_sorting():
    options = split_options(["--data.x=1", "--model.y=2", "--model=M", "-c", "a", "-c", "b"])
    expected = [["-c", "a"], ["-c", "b"], ["--model=M"], ["--data.x=1"], ["--model.y=2"]]
    assert sort_by_precedence(options) == expected


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model=PackedLSTM"], "was saved by LSTMClassifier"),
        (["--model.hidden_dim=9"], "best.ckpt do not match"),
        (["--data=SyntheticChirps"], "try LSTMSequenceClassifier"),
    ],
)
def test_the_model_of_a_checkpoint_cannot_be_changed(trained, capsys, args, message):
    assert message in error_of(capsys, "test", "--ckpt_path", BEST, *args)


@pytest.mark.slow
def test_weights_and_biases_records_the_complete_run():
    offline = Path(__file__).parents[2] / "configs/logger/offline.yaml"
    args = ["fit", *REVIEWS, *SIZES, "--name=a", "-c", str(offline), "--test=true"]
    args.append("--trainer.log_every_n_steps=1")
    subprocess.run([sys.executable, "-m", "rnn_lab", *args], check=True, capture_output=True)
    (record,) = RUN.glob("wandb/offline-run-*/*.wandb")
    inspect = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", record]
    result = subprocess.run(inspect, check=True, capture_output=True, text=True)
    records = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    history = {key for r in records if r["type"] == "history" for key in r["history"]["item"]}
    expected = {"train/loss", "train/lr", "train/gradient_norm", "val/accuracy", "test/accuracy"}
    assert expected <= history
    assert "hidden_dim" in json.dumps([r for r in records if r["type"] == "config"])
    assert "parameters" in result.stdout
    assert list(RUN.rglob("*mistakes*.table.json"))
    assert "confusion" in result.stdout
    assert (RUN / "metrics.csv").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"label,text\n", "the train split has no text to read"),
        ("label,text\ngood,caf\u00e9\n".encode("latin-1"), "set its encoding"),
        (b"label,text\ngood,one,two\n", "row 2"),
        (b"kind,text\ngood,one\n", "label"),
    ],
)
def test_an_unreadable_file_is_reported(content, message, capsys):
    Path("own.csv").write_bytes(content)
    args = ["--data=TextFiles", "--data.train=own.csv", "--model=LSTMClassifier"]
    assert message in error_of(capsys, "fit", *args)
    assert not Path("runs").exists()
