"""Checkpoints that are named by their run."""

from pathlib import Path

import pytest
from command_line import BEST, RUN, error_of, resolved, run

from rnn_lab.commands._run_checkpoint import resolve_run_checkpoint, run_checkpoint
from rnn_lab.errors import UserError

pytestmark = pytest.mark.usefixtures("empty_folder")


def save(*paths):
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()


@pytest.mark.parametrize("kind", ["best", "last"])
def test_the_checkpoint_of_a_run_is_found_in_its_experiment(kind):
    save("runs/x/a/checkpoints/best.ckpt", "runs/x/a/checkpoints/last.ckpt")
    expected = f"runs/x/a/checkpoints/{kind}.ckpt"
    assert run_checkpoint(kind, "a") == run_checkpoint(kind, "a", "x") == expected


def test_of_several_runs_with_a_name_the_experiment_or_data_chooses():
    save("runs/x/a/checkpoints/best.ckpt", "runs/y/a/checkpoints/best.ckpt")
    assert run_checkpoint("best", "a", "y") == "runs/y/a/checkpoints/best.ckpt"
    assert run_checkpoint("best", "a", data="y") == "runs/y/a/checkpoints/best.ckpt"
    with pytest.raises(UserError, match="several runs are named a: give --experiment=x or --exp"):
        run_checkpoint("best", "a")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, "--ckpt_path=best requires --name of the run"),
        ("lstm2", r"there is no run runs/\*/lstm2: did you mean --name=lstm\?"),
        ("other", r"there is no run runs/\*/other: see rnn-lab status"),
        ("*", r"there is no run runs/\*/\*"),
        ("lstm", "runs/x/lstm/checkpoints/best.ckpt does not exist"),
    ],
)
def test_a_checkpoint_that_does_not_exist_is_an_error(name, message):
    save("runs/x/lstm/checkpoints/last.ckpt")
    with pytest.raises(UserError, match=message):
        run_checkpoint("best", name)


def test_the_name_of_an_array_is_no_run_but_suggests_its_runs():
    Path("runs/x/grid").mkdir(parents=True)
    for name in ("grid-lr=1", "grid-lr=2"):
        save(f"runs/x/{name}/checkpoints/best.ckpt")
    message = "does not exist; did you mean --name=grid-lr=1 or --name=grid-lr=2"
    with pytest.raises(UserError, match=message):
        run_checkpoint("best", "grid")


def test_the_folder_of_a_run_may_be_given_instead_of_its_name():
    save("elsewhere/checkpoints/best.ckpt")
    folder = ["--trainer.default_root_dir=elsewhere"]
    options = resolve_run_checkpoint("test", [["--ckpt_path", "best"], folder])
    assert options == [["--ckpt_path=elsewhere/checkpoints/best.ckpt"], folder]


def test_only_fit_starts_a_run_with_last():
    options = [["--ckpt_path=last"], ["--name=a"]]
    assert resolve_run_checkpoint("fit", options) == options
    with pytest.raises(UserError, match="there is no run"):
        resolve_run_checkpoint("test", options)


def test_each_command_reads_the_best_checkpoint_of_a_run(trained, capsys):
    assert run("test", "--ckpt_path=best", "--name=a") == 0
    assert resolved("config.test.yaml")["ckpt_path"] == BEST
    assert (RUN / "metrics.test.csv").exists()
    Path("texts.txt").write_text("a fine film\n")
    capsys.readouterr()
    answers = []
    for words in (["--ckpt_path=best", "--name=a"], [f"--ckpt_path={BEST}"]):
        assert run("predict", *words, "--input=texts.txt") == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1] != ""
    for command in ("predict", "translate", "generate", "backtest"):
        needed = ["--input=texts.txt"] if command == "predict" else []
        message = error_of(capsys, command, "--ckpt_path=last", "--name=b", *needed)
        assert "there is no run runs/*/b" in message
    message = error_of(capsys, "predict", "--ckpt_path", BEST, "--name=a", "--input=texts.txt")
    assert "--name has no effect with the path of a checkpoint" in message


@pytest.mark.slow
def test_training_resumes_from_the_best_checkpoint_of_a_run(trained):
    assert run("fit", "--ckpt_path=best", "--name=a", "--trainer.max_epochs=2") == 0
    assert not (RUN.parent / "LSTMClassifier-1").exists()


@pytest.mark.parametrize("run_options", [["--name=a"], ["--name=b", "--experiment=x"]])
def test_a_resume_without_options_is_answered_by_the_config_of_the_run(run_options):
    save("runs/x/a/config.yaml", "runs/x/b/config.yaml", "runs/y/b/config.yaml")
    options = [[each] for each in ("--ckpt_path=last", *run_options)]
    with pytest.raises(UserError, match=r"needs the options of the run: add -c runs/x/./config"):
        resolve_run_checkpoint("fit", options)
    for more in (["--data=IMDB"], ["-c", "imdb"]):
        assert resolve_run_checkpoint("fit", [*options, more]) == [*options, more]
    assert resolve_run_checkpoint("fit", options[:1]) == options[:1]
