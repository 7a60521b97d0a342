"""The commands that `fit` and `test` name when they end work as they are written."""

import io
import shlex
from pathlib import Path

import pytest
from command_line import BEST, OWN, REVIEWS, SIZES, run

from rnn_lab.commands._next_commands import next_commands, resume_command, status_command
from rnn_lab.datamodules import ParallelFiles, SyntheticReviews, TextFiles
from rnn_lab.models import LSTMClassifier, SequenceTagger
from rnn_lab.text.split import SplitConfig

pytestmark = pytest.mark.usefixtures("empty_folder")
TINY = ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--model.hidden_dim=8"]
PAIRS = "".join(f"{i} dogs run\t{i} hunde rennen\n" for i in range(40))
LINES = "one two three\nthree two one\n" * 60
SERIES = "time,value\n" + "".join(
    f"2024-01-{1 + i // 24:02d} {i % 24}:00,{i % 7}\n" for i in range(480)
)
FITS = {  # model, data, options, content of the file
    "text": ("LSTMClassifier", "TextFiles", {"train": "own.csv"}, OWN),
    "drawn": ("LSTMClassifier", "TextFiles", {"train": "own.csv", "split.test_fraction": 0.2}, OWN),
    "pairs": ("Seq2SeqTranslator", "ParallelFiles", {"train": "own.txt", "test": "own.txt"}, PAIRS),
    "lines": ("LSTMLanguageModel", "LanguageModelingFiles", {"train": "own.txt", "bptt": 8}, LINES),
    "series": ("LSTMForecaster", "ForecastingFiles",
               {"file": "own.csv", "input_length": 24, "horizon": 4}, SERIES),
}  # fmt: skip


def named(caplog):
    """Return the commands below the last `next:` that was logged."""
    message = next(m for m in reversed(caplog.messages) if m.startswith("next:"))
    return [line.strip() for line in message.splitlines()[1:]]


@pytest.mark.slow
@pytest.mark.parametrize("kind", FITS)
def test_every_command_works_as_it_is_written(kind, caplog, monkeypatch, capsys):
    model, data, options, content = FITS[kind]
    folder = Path("my data")
    folder.mkdir()
    for name in {value for value in options.values() if isinstance(value, str)}:
        (folder / name).write_text(content)
    values = {n: folder / v if isinstance(v, str) else v for n, v in options.items()}
    line = [f"--model={model}", f"--data={data}", *(f"--data.{n}={v}" for n, v in values.items())]
    assert run("fit", *line, *TINY) == 0
    commands = named(caplog)
    assert commands[0].startswith("rnn-lab test --ckpt_path=runs/")
    assert commands[-1] == "rnn-lab status"
    assert ("data.train=" in commands[0]) == ("split.test_fraction" in options)
    assert not [command for command in commands[1:] if "train" in command]
    for command in commands:
        monkeypatch.setattr("sys.stdin", io.StringIO("one two\n"))
        words = [word.replace("FILE", str(next(folder.iterdir()))) for word in shlex.split(command)]
        capsys.readouterr()
        assert run(*words[1:]) == 0, command
        assert capsys.readouterr().out, command


def test_a_tested_checkpoint_is_not_tested_again(caplog):
    assert run("fit", *REVIEWS, *SIZES, "--test", "--name=a") == 0
    usual = [f"rnn-lab predict --ckpt_path={BEST} --input=FILE", "rnn-lab status"]
    assert named(caplog) == usual
    caplog.clear()
    assert run("test", "--ckpt_path", BEST) == 0
    assert named(caplog) == usual
    caplog.clear()
    assert run("test", "--ckpt_path", BEST, "--verbose=false") == 0
    assert not [message for message in caplog.messages if message.startswith("next:")]


def test_paths_that_a_checkpoint_does_not_store_are_given_and_quoted(tmp_path):
    folder = tmp_path / "it's mine"
    folder.mkdir()
    (folder / "a.csv").write_text(OWN)
    arguments = {"train": str(folder / "a.csv"), "test": str(folder / "b.csv"), "valid": None}
    data = TextFiles(**arguments)
    task = LSTMClassifier(10, 2)
    command, *_ = next_commands(task, data, arguments, "a b/best.ckpt", tested=False)
    assert shlex.split(command) == [
        "rnn-lab", "test", "--ckpt_path=a b/best.ckpt", f"--data.test={folder / 'b.csv'}"
    ]  # fmt: skip
    command, *_ = next_commands(task, data, {**arguments, "test": None}, "best.ckpt", False)
    assert command == "rnn-lab test --ckpt_path=best.ckpt --data.test=FILE"


@pytest.mark.parametrize("cls", [TextFiles, ParallelFiles])
def test_a_test_split_that_is_drawn_needs_the_training_files(cls):
    arguments = {"train": "a.csv", "valid": None, "test": None}
    data = cls(**arguments, split=SplitConfig(test_fraction=0.2))
    command, *_ = next_commands(LSTMClassifier(10, 2), data, arguments, "best.ckpt", False)
    assert command == "rnn-lab test --ckpt_path=best.ckpt --data.train=a.csv"


def test_generated_data_needs_no_options():
    commands = next_commands(LSTMClassifier(10, 2), SyntheticReviews(), {}, "best.ckpt", False)
    assert commands[0] == "rnn-lab test --ckpt_path=best.ckpt"


def test_a_task_without_predictor_has_no_command_for_it():
    task = SequenceTagger(vocab_size=9)
    assert next_commands(task, SyntheticReviews(), {}, "best.ckpt", tested=True) == []


def test_status_names_a_run_outside_the_usual_folder():
    assert status_command(Path("runs/e/a")) == "rnn-lab status"
    assert status_command(Path("runs/e/a").resolve()) == "rnn-lab status"
    assert status_command(Path("my runs/a")) == "rnn-lab status 'my runs/a'"


def test_a_run_is_resumed_by_its_config_and_name_or_folder():
    for folder in (Path("runs/e/a b"), Path("elsewhere")):
        assert resume_command(folder) == ""
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "config.yaml").touch()
        assert resume_command(folder) == ""
        (folder / "checkpoints/last.ckpt").touch()
    expected = (
        "rnn-lab fit -c 'runs/e/a b/config.yaml' --experiment=e '--name=a b' --ckpt_path=last"
    )
    assert resume_command(Path("runs/e/a b")) == expected
    assert resume_command(Path("runs/e/a b").resolve()) == expected
    assert resume_command(Path("elsewhere")) == (
        "rnn-lab fit -c elsewhere/config.yaml --trainer.default_root_dir=elsewhere --ckpt_path=last"
    )
