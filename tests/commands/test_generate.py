"""Language models on the command line: generate, predict, test and training from a checkpoint."""

import csv
import io
import json

import pytest

import rnn_lab
from rnn_lab.__main__ import main

TEXT = "one two three\nthree two one\ntwo two four\n\none one one three two\n"


def train(folder, *options):
    """Train briefly: the quality of the model does not matter here."""
    (folder / "train.txt").write_text(TEXT * 20)
    line = [
        *("fit", "--model=LSTMLanguageModel", "--data=LanguageModelingFiles"),
        *(f"--data.train={folder}/train.txt", "--data.bptt=8", "--data.batch_size=4"),
        *("--model.embedding_dim=8", "--model.hidden_dim=8", "--trainer.max_epochs=1"),
        *("--trainer.accelerator=cpu", f"--trainer.default_root_dir={folder}/run"),
    ]
    assert main([*line, *options]) == 0
    return str(folder / "run/checkpoints/best.ckpt")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return train(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    line = [
        *("fit", "--model=LSTMClassifier", "--data=SyntheticReviews", "--data.train_size=40"),
        *("--data.valid_size=8", "--model.embedding_dim=4", "--model.hidden_dim=4"),
        *("--trainer.max_epochs=1", "--trainer.accelerator=cpu"),
    ]
    assert main([*line, f"--trainer.default_root_dir={folder}/run"]) == 0
    return str(folder / "run/checkpoints/best.ckpt")


def error_of(capsys, *arguments):
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        status = stop.code
    (line,) = capsys.readouterr().err.splitlines()
    assert status in (1, 2)
    return line


def test_the_command_prints_the_texts_that_python_returns(checkpoint, capsys):
    line = ["generate", "--ckpt_path", checkpoint, r"--prompt=one\ntwo", "--max_new_tokens=9"]
    assert main([*line, "--num_samples=2", "--seed=4", "--json=true"]) == 0
    texts = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    expected = rnn_lab.load(checkpoint).generate("one\ntwo", 9, num_samples=2, seed=4)
    assert texts == expected
    assert main([*line, "--temperature=0"]) == 0
    (greedy,) = rnn_lab.load(checkpoint).generate("one\ntwo", 9, temperature=0)
    assert capsys.readouterr().out == f"{greedy}\n"


def test_a_character_level_model_stops_at_a_line_feed(tmp_path, capsys):
    checkpoint = train(tmp_path, "--data.tokenizer.kind=characters")
    capsys.readouterr()
    line = ["generate", "--ckpt_path", checkpoint, "--prompt=on", r"--stop=\n", "--seed=2"]
    assert main(line) == 0
    (expected,) = rnn_lab.load(checkpoint).generate("on", 200, stop="\n", seed=2)
    assert capsys.readouterr().out == f"{expected}\n"
    assert "\n" not in expected


def test_predict_prints_an_answer_for_each_line(checkpoint, capsys, tmp_path):
    lines = ["one two", "", "zebra"]
    (tmp_path / "in.txt").write_text("".join(f"{line}\n" for line in lines))
    predict = ["predict", "--ckpt_path", checkpoint, "--input", f"{tmp_path}/in.txt"]
    expected = rnn_lab.load(checkpoint).predict(lines)
    assert main(predict) == 0
    assert [json.loads(row) for row in capsys.readouterr().out.splitlines()] == expected
    assert main([*predict, "--format=csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["text"] for row in rows] == lines
    for row, answer in zip(rows, expected, strict=True):
        assert float(row["perplexity"]) == answer["perplexity"]
        assert float(row["log_probability"]) == answer["log_probability"]
    assert main([*predict, "--format=text"]) == 0
    printed = [float(row) for row in capsys.readouterr().out.splitlines()]
    assert printed == pytest.approx([answer["perplexity"] for answer in expected], rel=1e-5)


def test_a_checkpoint_is_tested_on_another_file(checkpoint, capsys, tmp_path):
    (tmp_path / "other.txt").write_text("one zebra\n" * 9)
    options = ["--data.test", f"{tmp_path}/other.txt", "--trainer.accelerator=cpu"]
    root = f"--trainer.default_root_dir={tmp_path}/run"
    assert main(["test", "--ckpt_path", checkpoint, *options, root]) == 0
    assert "perplexity" in capsys.readouterr().out


def test_training_starts_from_the_weights_and_vocabulary_of_a_checkpoint(checkpoint, tmp_path):
    (tmp_path / "other.txt").write_text("one zebra\n" * 99)
    options = [f"--data.train={tmp_path}/other.txt", "--trainer.accelerator=cpu"]
    root = f"--trainer.default_root_dir={tmp_path}/run"
    assert main(["fit", "--init_from", checkpoint, *options, root, "--trainer.max_epochs=1"]) == 0
    tuned = rnn_lab.load(f"{tmp_path}/run/checkpoints/best.ckpt")
    assert tuned.tokenizer.words == rnn_lab.load(checkpoint).tokenizer.words


def test_wrong_checkpoints_and_options_are_errors_of_one_line(
    checkpoint, classifier, capsys, tmp_path
):
    (tmp_path / "in.txt").write_text("one\n")
    generate = ["generate", "--ckpt_path"]
    assert "is not a language-model checkpoint" in error_of(capsys, *generate, classifier)
    assert "does not exist" in error_of(capsys, *generate, "absent.ckpt")
    line = error_of(capsys, *generate, checkpoint, "--top_k=0")
    assert line == "rnn-lab: top_k must be at least 1, got 0"
    predict = ["--ckpt_path", checkpoint, "--input", tmp_path / "in.txt"]
    line = error_of(capsys, "predict", *predict, "--beam_size=2")
    assert "--beam_size requires a translation model" in line
    line = error_of(capsys, "translate", "--ckpt_path", checkpoint)
    assert "is not a translation model" in line
    data = ["fit", "--model=LSTMLanguageModel", "--data=LanguageModelingFiles"]
    line = error_of(capsys, *data, f"--data.vocab_from_checkpoint={classifier}")
    assert "is not a language-model checkpoint: its data is rnn_lab.SyntheticReviews" in line
    reviews = ["fit", "--model=LSTMClassifier", "--data=SyntheticReviews"]
    assert "is not a text classification checkpoint" in error_of(
        capsys, *reviews, f"--data.vocab_from_checkpoint={checkpoint}"
    )


def test_models_and_data_of_different_tasks_are_refused(capsys):
    line = error_of(capsys, "fit", "--model=LSTMClassifier", "--data=SyntheticText")
    assert "but SyntheticText provides LMBatch; try" in line
    line = error_of(capsys, "fit", "--model=LanguageModel", "--data=SyntheticReviews")
    assert "but SyntheticReviews provides TextBatch" in line
