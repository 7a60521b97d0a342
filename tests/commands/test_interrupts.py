"""Ctrl-C at any moment: status 130, one line, and no half-written file."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command_line import BEST, REVIEWS, RUN, SIZES, run

from rnn_lab.core.predictor import RecordPredictor
from rnn_lab.core.task import Task
from rnn_lab.tasks.forecasting import backtest
from rnn_lab.text.tokenizer import TextTokenizer

SERIES = ["--model=LSTMForecaster", "--data=SyntheticSeries", "--data.length=600"]
SHORT = ["--trainer.accelerator=cpu", "--trainer.max_steps=2", "--trainer.limit_val_batches=0"]
FORECASTS = "runs/SyntheticSeries/a/checkpoints/last.ckpt"


@pytest.fixture(autouse=True)
def handler():
    """Restore the handler of Ctrl-C, which Lightning replaces for the rest of the process."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def press(*_, **__):
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    ("owner", "name", "command"),
    [
        (TextTokenizer, "learn", ["fit", *REVIEWS, *SIZES, "--name=b"]),
        (Task, "test_step", ["test", f"--ckpt_path={BEST}"]),
        (RecordPredictor, "answers", ["predict", f"--ckpt_path={BEST}", "--input=in.txt",
                                 "--output=answers.jsonl"]),
    ],
    ids=["vocabulary", "test", "predict"],
)  # fmt: skip
def test_an_interrupted_command_ends_with_one_line(
    owner, name, command, trained, capsys, monkeypatch
):
    Path("in.txt").write_text("fine\n")
    capsys.readouterr()
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path.cwd() / "cache"))  # nothing is prepared
    monkeypatch.setattr(owner, name, press)
    assert run(*command) == 130
    errors = capsys.readouterr().err
    assert errors.splitlines()[-1] == "rnn-lab: interrupted"
    assert "Traceback" not in errors
    assert not list(Path().glob("*answers*"))
    assert not Path("runs/SyntheticReviews/b").exists()


@pytest.mark.parametrize("folder", [["--name=a"], ["--trainer.default_root_dir=here"]])
def test_an_interrupted_training_names_the_command_that_resumes_it(
    folder, empty_folder, capsys, monkeypatch
):
    original = Task.validation_step
    epochs = []

    def interrupt_second_epoch(self, batch, index):
        if not epochs or self.trainer.current_epoch > epochs[-1]:
            epochs.append(self.trainer.current_epoch)
        if len(epochs) == 2:
            press()
        return original(self, batch, index)

    with monkeypatch.context() as patched:
        patched.setattr(Task, "validation_step", interrupt_second_epoch)
        assert run("fit", *REVIEWS, *SIZES, "--trainer.max_epochs=2", *folder) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("rnn-lab: interrupted; resume with: rnn-lab fit -c ")
    _, *words = shlex.split(last.partition("resume with: ")[2])
    assert run(*words) == 0
    assert torch.load(next(Path().rglob("last.ckpt")))["epoch"] == 1


def test_an_interrupted_backtest_ends_with_one_line(empty_folder, capsys, monkeypatch):
    assert run("fit", *SERIES, *SHORT, "--name=a") == 0
    monkeypatch.setattr(backtest, "_scores", press)
    assert run("backtest", f"--ckpt_path={FORECASTS}") == 130
    assert capsys.readouterr().err.splitlines()[-1] == "rnn-lab: interrupted"


SAVE = '''
"""Press Ctrl-C twice while the fourth checkpoint is written."""
import os
import signal
import sys
import threading
import torch
from rnn_lab.__main__ import main

real, count = torch.save, 0

def press():
    os.kill(os.getpid(), signal.SIGINT)

def save(content, file):
    global count
    count += 1
    if count == 4:
        file.write(b"half of a file")
        threading.Timer(0.05, press).start()
        press()
    real(content, file)

torch.save = save
sys.exit(main())
'''


@pytest.mark.slow
def test_two_interrupts_during_a_save_leave_the_previous_checkpoint(empty_folder):
    Path("press.py").write_text(SAVE)
    line = [sys.executable, "press.py", "fit", *REVIEWS, *SIZES, "--trainer.max_epochs=4"]
    result = subprocess.run([*line, "--name=a"], capture_output=True, text=True, check=False)
    assert result.returncode == 130
    assert result.stderr.splitlines()[-1].startswith("rnn-lab: interrupted; resume with: ")
    assert "Traceback" not in result.stderr
    assert {path.name for path in (RUN / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert torch.load(RUN / "checkpoints/last.ckpt")["global_step"] > 0
