"""Sequence classification from a `.ts` file to a checkpoint, and from that to labels."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import rnn_lab
from rnn_lab.__main__ import main
from rnn_lab.datamodules import LabeledSeriesFiles
from rnn_lab.errors import UserError
from rnn_lab.training import read_metrics

HEADER = "@dimensions 2\n@classLabel true up down\n@data\n"


def sequences(count, seed):
    """Noisy lines that rise or fall, far from zero, of different lengths."""
    rng = np.random.default_rng(seed)
    values = []
    for i in range(count):
        steps = np.arange(rng.integers(2, 12))
        slope = np.stack([steps, -steps], 1) * (1 if i % 2 == 0 else -1)
        values.append(500 + slope + rng.normal(size=slope.shape))
    return values


def write(path, rows):
    lines = (
        ":".join(",".join("?" if np.isnan(v) else repr(float(v)) for v in one) for one in values.T)
        for values in rows
    )
    labeled = (f"{line}:{('up', 'down')[i % 2]}" for i, line in enumerate(lines))
    path.write_text(HEADER + "\n".join(labeled) + "\n")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Train shortly without validation, and test, from the command line."""
    folder = tmp_path_factory.mktemp("series")
    write(folder / "train.ts", sequences(40, 0))
    write(folder / "test.ts", sequences(20, 1))
    words = [
        *(
            "fit",
            "--model=BiGRUSequenceClassifier",
            "--data=LabeledSeriesFiles",
            f"--data.train={folder}/train.ts",
        ),
        *(f"--data.test={folder}/test.ts", "--data.valid_fraction=0", "--test=true"),
        *("--trainer.limit_val_batches=0", "--trainer.max_epochs=3", "--model.hidden_dim=8"),
        "--model.optimizer.lr=0.05",
        *("--trainer.accelerator=cpu", f"--trainer.default_root_dir={folder}/run"),
    ]
    assert main(words) == 0
    return folder


@pytest.fixture
def checkpoint(folder):
    return str(folder / "run/checkpoints/best.ckpt")


def predict(capsys, checkpoint, *words):
    assert main(["predict", "--ckpt_path", checkpoint, *map(str, words)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def accuracy_in(path):
    (value,) = [value for value in read_metrics(path)["test/accuracy"] if value is not None]
    return value


def close(answer):
    return {**answer, "probabilities": pytest.approx(answer["probabilities"], abs=1e-5)}


def test_without_validation_the_last_epoch_is_tested(folder, checkpoint):
    assert torch.load(checkpoint, weights_only=True)["epoch"] == 2
    known = read_metrics(folder / "run/metrics.csv")
    assert "test/accuracy" in known
    assert "val/accuracy" not in known


def test_answers_are_in_order_and_sum_to_one(checkpoint):
    answers = rnn_lab.load(checkpoint).predict(sequences(20, 1))
    assert len(answers) == 20
    for answer in answers:
        assert answer["probabilities"].keys() == {"up", "down"}
        assert sum(answer["probabilities"].values()) == pytest.approx(1)
        assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
        assert answer["missing"] == 0


def test_answers_do_not_depend_on_the_batch(checkpoint):
    predictor, inputs = rnn_lab.load(checkpoint), sequences(20, 1)
    together = predictor.predict(inputs)
    for one, answer in zip(inputs, together, strict=True):
        assert predictor.predict([one]) == [close(answer)]
    assert predictor.predict(inputs[::-1]) == [close(answer) for answer in together[::-1]]


def test_predictions_equal_those_of_the_test(folder, checkpoint):
    predictor = rnn_lab.load(checkpoint)
    split = LabeledSeriesFiles(
        test=str(folder / "test.ts"), vocab_from_checkpoint=checkpoint
    ).split("test")
    values, labels, lengths = split[np.arange(20)]
    with torch.no_grad():
        expected = predictor.task.probabilities(values, lengths)
    answers = predictor.predict(sequences(20, 1))
    probabilities = torch.tensor([list(answer["probabilities"].values()) for answer in answers])
    torch.testing.assert_close(probabilities, expected, atol=1e-5, rtol=1e-5)
    correct = [
        a["label"] == ("up", "down")[label] for a, label in zip(answers, labels, strict=True)
    ]
    assert np.mean(correct) == pytest.approx(accuracy_in(folder / "run/metrics.csv"))


def test_the_command_reads_files_and_standard_input(folder, checkpoint, capsys, monkeypatch):
    expected = rnn_lab.load(checkpoint).predict(sequences(20, 1))
    assert predict(capsys, checkpoint, "--input", folder / "test.ts") == expected
    lines = "".join(json.dumps({"values": one.tolist()}) + "\n" for one in sequences(20, 1))
    (folder / "new.jsonl").write_text(lines)
    assert predict(capsys, checkpoint, "--input", folder / "new.jsonl") == expected
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    words = ["--input=-", "--input-format=jsonl"]
    assert predict(capsys, checkpoint, *words) == expected


def test_answers_can_be_written_to_files(folder, checkpoint, capsys):
    expected = rnn_lab.load(checkpoint).predict(sequences(20, 1))
    words = ["--input", folder / "test.ts", "--output"]
    assert predict(capsys, checkpoint, *words, folder / "answers.csv") == []
    with open(folder / "answers.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["missing", "label", "probability_up", "probability_down"]
    assert [float(row["probability_up"]) for row in rows] == [
        answer["probabilities"]["up"] for answer in expected
    ]
    assert predict(capsys, checkpoint, *words, folder / "answers.txt") == []
    labels = (folder / "answers.txt").read_text().splitlines()
    assert labels == [answer["label"] for answer in expected]


def test_missing_values_are_replaced_by_the_mean_and_counted(checkpoint):
    predictor = rnn_lab.load(checkpoint)
    with_gaps, filled = (
        np.array([[500.0, np.nan], [np.nan, 499.0]]),
        np.array([[500.0, 0], [0, 499]]),
    )
    filled[0, 1], filled[1, 0] = predictor.scaler.mean[[1, 0]]
    one, two = predictor.predict([with_gaps, filled])
    assert (one["missing"], two["missing"]) == (2, 0)
    assert one["probabilities"] == pytest.approx(two["probabilities"])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("up", "got one string"),
        (np.zeros((3, 2)), r"a series has shape \(2,\), expected \(time, features\)"),
        ([np.zeros((3, 3))], "a sequence has 3 features per step, expected 2"),
        ([np.zeros((0, 2))], r"a series has shape \(0, 2\)"),
        ([np.array([[1, np.inf]])], "a series contains an infinite value"),
        (["up"], "a series: expected lists of numbers of the same length for all steps"),
    ],
)
def test_invalid_input_is_refused(checkpoint, inputs, message):
    with pytest.raises(UserError, match=message):
        rnn_lab.load(checkpoint).predict(inputs)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--input=no.ts"], "no.ts cannot be read"),
        (["--input=a.csv"], "cannot infer the series format of a.csv"),
        (["--input=wide.jsonl"], "a sequence has 3 features per step, expected 2"),
        (["--input=bad.ts"], "bad.ts line 3: 'x' is not a finite number"),
        (["--input=bad.ts", "--beam_size=3"], "--beam_size requires a translation model"),
    ],
)
def test_errors_are_one_line(checkpoint, capsys, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("wide.jsonl").write_text('{"values": [[1, 2, 3]]}\n')
    Path("bad.ts").write_text("@classLabel false\n@data\n1,x:2,3\n")
    assert main(["predict", "--ckpt_path", checkpoint, *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("rnn-lab: ")
    assert message in line


def test_a_checkpoint_is_tested_without_its_training_files(folder, checkpoint, tmp_path):
    shutil.copy(checkpoint, tmp_path / "moved.ckpt")
    shutil.copy(folder / "test.ts", tmp_path / "new.ts")
    words = [f"--ckpt_path={tmp_path}/moved.ckpt", f"--data.test={tmp_path}/new.ts"]
    words += [f"--trainer.default_root_dir={tmp_path}/run", "--trainer.accelerator=cpu"]
    assert main(["test", *words]) == 0
    before = accuracy_in(folder / "run/metrics.csv")
    assert accuracy_in(tmp_path / "run/metrics.test.csv") == before >= 0.9


def test_a_missing_validation_split_is_reported_before_training(folder, tmp_path, capsys):
    words = [
        "fit",
        "--model=GRUClassifier",
        "--data=LabeledSeriesFiles",
        f"--data.train={folder}/train.ts",
    ]
    words += ["--data.valid_fraction=0", f"--trainer.default_root_dir={tmp_path}"]
    assert main(words) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "LabeledSeriesFiles has no valid split" in line
    assert "--trainer.limit_val_batches=0" in line


def test_models_of_generated_data_do_not_scale_their_input(tmp_path):
    words = [
        *("fit", "--model=GRUClassifier", "--data=SyntheticChirps", "--data.train_size=16"),
        *("--data.valid_size=8", "--trainer.max_epochs=1", "--trainer.accelerator=cpu"),
        f"--trainer.default_root_dir={tmp_path}",
    ]
    assert main(words) == 0
    predictor = rnn_lab.load(str(tmp_path / "checkpoints/best.ckpt"))
    (answer,) = predictor.predict([np.ones((4, 2))])
    with torch.no_grad():
        expected = predictor.task.probabilities(torch.ones(1, 4, 2))[0]
    assert list(answer["probabilities"].values()) == pytest.approx(expected.tolist())
    assert answer["label"] in {"rising", "falling", "rise then fall", "fall then rise"}


def test_ensembles_are_refused(checkpoint):
    with pytest.raises(UserError, match="BiGRUSequenceClassifier, which supports no ensemble"):
        rnn_lab.load(checkpoint, ensemble=[checkpoint])


@pytest.mark.slow
def test_several_processes_keep_the_order(checkpoint, tmp_path, capsys):
    path = write(tmp_path / "many.ts", sequences(5000, 2))
    words = ["--input", path, "--trainer.accelerator=cpu"]
    one = predict(capsys, checkpoint, *words)
    two = predict(capsys, checkpoint, *words, "--trainer.devices=2")
    assert two == [close(answer) for answer in one]
