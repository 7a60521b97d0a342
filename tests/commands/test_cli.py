"""The options of `fit`, `validate` and `test`: precedence, defaults, errors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command_line import BEST, OWN, REVIEWS, RUN, SIZES, TINY, error_of, resolved, run

from rnn_lab.errors import UserError

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_defaults_match_the_readme(trained):
    config = resolved()
    assert config["seed_everything"] == 42
    assert config["early_stopping"]["patience"] == 3
    assert config["trainer"]["gradient_clip_val"] == 1.0
    assert config["trainer"]["max_epochs"] == 1  # set on the command line


def test_the_order_of_options_does_not_matter():
    args = [*TINY, *SIZES, "--name=a", "--data=SyntheticReviews", "--model", "LSTMClassifier"]
    assert run("fit", *args) == 0
    assert resolved()["model"]["init_args"]["hidden_dim"] == 8


def test_flags_need_no_value_and_options_may_have_dashes(capsys):
    args = [arg.replace("_size", "-size") for arg in [*REVIEWS, *SIZES]]
    assert run("fit", *args, "--name=a", "--test", "--trainer.fast-dev-run") == 0
    assert not Path("runs").exists()
    assert "accuracy" in capsys.readouterr().out


def test_the_command_line_overrides_a_config_file_in_any_position():
    Path("a.yaml").write_text(
        "model: {class_path: LSTMClassifier, init_args: {embedding_dim: 4, hidden_dim: 4}}\n"
        "data: {class_path: SyntheticReviews}\n"
    )
    assert run("fit", *TINY, "--model.hidden_dim=6", "-c", "a.yaml", "--name=a") == 0
    arguments = resolved()["model"]["init_args"]
    assert (arguments["embedding_dim"], arguments["hidden_dim"]) == (4, 6)


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
        (["fit", *REVIEWS, "-c", "nowhere.yaml"], "-c nowhere.yaml does not exist"),
        (["fit", *REVIEWS, "-c", "."], "-c . is a folder"),
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
        (["fit", *REVIEWS, "--model.optimizer=Adma"], "optimizer=Adma: did you mean"),
        (["fit", *REVIEWS, "--trainer.max_epoch=3"], "did you mean --trainer.max_epochs"),
        (["fit", *REVIEWS, "--model.optimizer.learning_rate=3"],
         "unknown option --model.optimizer.learning_rate; it can be lr, betas"),
        (["fit", *REVIEWS, "--trainer.callbacks+=nope.X"], "No module named 'nope'"),
        (["fit", *REVIEWS, "--trainer.logger=TensorBoardLogger"],
         "give --trainer.logger.save_dir"),
        (["fit", *REVIEWS, "--model.hidden_dim=1000000000"], "out of memory: "),
        (["fit", *REVIEWS, "--data.tokenizer.max_length=x"],
         "--data.tokenizer.max_length must be int, got x"),
        (["fti"], "did you mean fit?"),
        (["list", "all"], "unknown name 'all': `rnn-lab list` shows all names"),
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


def test_an_optimizer_option_without_class_selects_adam():
    assert run("fit", *REVIEWS, *SIZES, "--name=a", "--model.optimizer.lr=0.02") == 0
    (group,) = torch.load(BEST, weights_only=True)["optimizer_states"][0]["param_groups"]
    assert group["lr"] == 0.02


@pytest.mark.slow
def test_weights_and_biases_records_the_complete_run():
    args = ["fit", *REVIEWS, *SIZES, "--name=a", "--wandb", "--test=true"]
    args.append("--trainer.log_every_n_steps=1")
    command = [sys.executable, "-m", "rnn_lab", *args]
    environment = os.environ | {"WANDB_MODE": "offline"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    (record,) = RUN.glob("wandb/offline-run-*/*.wandb")
    inspect = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", record]
    result = subprocess.run(inspect, check=True, capture_output=True, text=True)
    records = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    best = {r["metric"].get("name"): r["metric"] for r in records if r["type"] == "metric"}
    assert best["val/accuracy"]["summary"] == {"max": True}
    history = {key for r in records if r["type"] == "history" for key in r["history"]["item"]}
    expected = {"train/loss", "train/lr", "train/gradient_norm", "val/accuracy", "test/accuracy"}
    assert expected <= history
    assert "hidden_dim" in json.dumps([r for r in records if r["type"] == "config"])
    assert "parameters" in result.stdout
    assert list(RUN.rglob("*misclassified*.table.json"))
    assert "confusion" in result.stdout
    assert (RUN / "metrics.csv").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"label,text\n", "the train split is empty"),
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


def test_the_profiler_prints_its_report(caplog):
    args = ["--trainer.profiler=simple", "--trainer.fast_dev_run"]
    assert run("fit", *REVIEWS, *SIZES, *args) == 0
    assert "Profiler Report" in caplog.text


def test_other_sizes_than_those_of_a_checkpoint_are_reported_briefly(trained, capsys):
    line = error_of(capsys, "test", "--ckpt_path", BEST, "--model.hidden_dim=32")
    assert "size mismatch for " in line
    assert "more differences)" in line
    assert len(line) < 320


def test_the_usage_names_the_program(capsys):
    with pytest.raises(SystemExit):
        run("fit", "--help=all")
    assert capsys.readouterr().out.startswith("usage: rnn-lab ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-c", "demo", "--optimiser=Adam"], "--optimiser: did you mean --model.optimizer?"),
        (["-c", "demo", "--batch_size=3"], "--batch_size: did you mean --data.batch_size?"),
        (["-c", "demo", "--model.optimiser=Adam"], "LSTMClassifier has no argument optimiser"),
        (["--data.tokenizer.help"], "--data.tokenizer.help: --data.help=NAME shows all options"),
        ([*REVIEWS, "--data.tokenizer.help"], "--data.help=SyntheticReviews shows its options"),
        (
            ["--model=AttentionTranslator", "--data=SyntheticDates", "--model.search=null"],
            "--model.search is a group of options such as --model.search.beam_size, not null",
        ),
    ],
)
def test_mistakes_are_answered_by_what_is_meant(words, message, capsys):
    assert message in error_of(capsys, "fit", *words)


def test_options_of_what_a_checkpoint_contains_are_refused(trained, capsys):
    for words in (["test", f"--ckpt_path={BEST}"], ["fit", f"--init_from={BEST}"]):
        message = error_of(capsys, *words, "--data.tokenizer.min_freq=5")
        assert "--data.tokenizer.min_freq has no effect, because" in message


def test_debugging_shows_the_traceback_of_every_error(monkeypatch, capsys):
    monkeypatch.setenv("RNN_LAB_DEBUG", "1")
    with pytest.raises(UserError, match="unknown --model"):
        run("fit", "--model=XYZ", "--data=SyntheticReviews")
    with pytest.raises(Exception, match="max_epochs"):
        run("fit", *REVIEWS, "--trainer.max_epochs=x")
