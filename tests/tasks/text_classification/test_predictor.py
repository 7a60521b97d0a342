"""Prediction from a checkpoint, in Python and on the command line."""

import csv
import io
import json
import select
import subprocess
import sys
from pathlib import Path

import handmade
import pytest

import rnn_lab
from rnn_lab.__main__ import main
from rnn_lab.errors import UserError

TEXTS = [
    "the plot was not bad .", "", "the cast was dull at first , but brilliant in the end .",
    "   ", "dull", "words that nobody has seen", "the score was brilliant . " * 50,
]  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A model trained for a few steps, as its accuracy does not matter."""
    folder = tmp_path_factory.mktemp("run")
    words = [
        *("fit", "--model=BiLSTMClassifier", "--data=SyntheticReviews", "--data.train_size=48"),
        *("--data.valid_size=16", "--model.embedding_dim=8", "--model.hidden_dim=8"),
        *("--trainer.max_epochs=1", f"--trainer.default_root_dir={folder}"),
    ]
    assert main(words) == 0
    return str(folder / "checkpoints/best.ckpt")


def predict(capsys, checkpoint, *words):
    assert main(["predict", "--ckpt_path", checkpoint, *map(str, words)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("".join(f"{text}\n" for text in TEXTS))
    return path


def test_answers_keep_the_order_and_are_null_for_texts_without_words(checkpoint):
    answers = rnn_lab.load(checkpoint).predict(TEXTS)
    assert [answer["text"] for answer in answers] == TEXTS
    assert [answer["label"] is None for answer in answers] == [not t.strip() for t in TEXTS]
    for answer in answers:
        if answer["label"] is not None:
            assert answer["probabilities"].keys() == {"negative", "positive"}
            assert sum(answer["probabilities"].values()) == pytest.approx(1)
            assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)


def test_answers_do_not_depend_on_the_batch(checkpoint):
    predictor = rnn_lab.load(checkpoint)
    together = predictor.predict(TEXTS)
    for text, answer in zip(TEXTS, together, strict=True):
        (alone,) = predictor.predict([text])
        assert alone["label"] == answer["label"]
        assert alone["probabilities"] == (
            answer["probabilities"] and pytest.approx(answer["probabilities"], abs=1e-6)
        )


def test_input_other_than_a_list_of_strings_is_refused(checkpoint):
    with pytest.raises(UserError, match="got one string"):
        rnn_lab.load(checkpoint).predict("the plot was good")
    with pytest.raises(UserError, match="texts must be strings, got None"):
        rnn_lab.load(checkpoint).predict([None])


def test_the_command_reads_lines_of_a_file(checkpoint, lines, capsys):
    answers = predict(capsys, checkpoint, "--input", lines)
    assert answers == rnn_lab.load(checkpoint).predict(TEXTS)


def test_the_command_reads_standard_input(checkpoint, lines, capsys, monkeypatch):
    text = io.TextIOWrapper(io.BytesIO(lines.read_bytes()))
    monkeypatch.setattr("sys.stdin", text)
    assert [a["text"] for a in predict(capsys, checkpoint, "--input", "-")] == TEXTS


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "id,review\n1,good film\n2,dull film\n", ["--text-column=review"]),
        ("a.tsv", "text\tid\ngood film\t1\ndull film\t2\n", []),
        ("a.jsonl", '{"text": "good film"}\n{"text": "dull film"}\n', []),
        ("a.data", "good film\ndull film\n", ["--input-format=txt"]),
    ],
)
def test_the_command_reads_every_format(checkpoint, tmp_path, capsys, name, content, words):
    (tmp_path / name).write_text(content)
    answers = predict(capsys, checkpoint, "--input", tmp_path / name, *words)
    assert [answer["text"] for answer in answers] == ["good film", "dull film"]


def test_the_text_column_is_remembered_and_other_columns_are_copied(tmp_path, capsys):
    rows = "".join(f"{i};good film {i};{'pos' if i % 2 else 'neg '}\r\n" for i in range(20))
    (tmp_path / "own.csv").write_bytes(f"\ufeffid;review;stars\r\n{rows}".encode())
    words = [
        *("fit", "--model=LSTMClassifier", "--data=TextFiles", f"--data.train={tmp_path}/own.csv"),
        *("--data.columns.text=review", "--data.columns.label=stars", "--model.embedding_dim=8"),
        *(
            "--model.hidden_dim=8",
            "--trainer.max_steps=1",
            f"--trainer.default_root_dir={tmp_path}",
        ),
    ]
    assert main(words) == 0
    capsys.readouterr()
    checkpoint = str(tmp_path / "checkpoints/best.ckpt")
    answers = predict(capsys, checkpoint, "--input", tmp_path / "own.csv")
    assert [answer["id"] for answer in answers] == [str(i) for i in range(20)]
    assert answers[0]["stars"] == "neg "
    assert answers[0]["text"] == "good film 0"
    (tmp_path / "new.csv").write_text("label,id,review\n?,7,good film\n")
    (answer,) = predict(capsys, checkpoint, "--input", tmp_path / "new.csv")
    assert [*answer] == ["input_label", "id", "text", "label", "probabilities"]
    table = tmp_path / "answers.csv"
    predict(capsys, checkpoint, "--input", tmp_path / "new.csv", "--output", table)
    header, row = csv.reader(table.read_text().splitlines())
    expected = ["input_label", "id", "text", "label", "probability_neg", "probability_pos"]
    assert header == expected
    assert row[:3] == ["?", "7", "good film"]


def test_texts_before_a_damaged_line_are_answered(checkpoint, tmp_path, capsys):
    (tmp_path / "a.txt").write_bytes(b"good film\n" * 4 + b"caf\xe9\n")
    assert main(["predict", "--ckpt_path", checkpoint, "--input", str(tmp_path / "a.txt")]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 4
    assert "is not utf-8 at line 5" in captured.err


@pytest.mark.slow
def test_standard_input_is_answered_as_it_arrives(checkpoint):
    words = ["predict", "--ckpt_path", checkpoint, "--input=-", "--trainer.accelerator=cpu"]
    with subprocess.Popen(
        [sys.executable, "-m", "rnn_lab", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    ) as process:
        for text in ("good film", "dull film"):
            process.stdin.write(f"{text}\n".encode())
            assert select.select([process.stdout], [], [], 60)[0]
            assert json.loads(process.stdout.readline())["text"] == text
        process.stdin.write(b"last one\ncaf\xe9\n")
        assert json.loads(process.stdout.readline())["text"] == "last one"
        assert process.wait(60) == 1
        assert b"is not utf-8 at line 4" in process.stderr.read()


def test_answers_can_be_written_to_files(checkpoint, lines, tmp_path, capsys):
    table, objects = tmp_path / "out/answers.csv", tmp_path / "answers.jsonl"
    for path in (table, objects):
        assert predict(capsys, checkpoint, "--input", lines, "--output", path) == []
    expected = rnn_lab.load(checkpoint).predict(TEXTS)
    assert [json.loads(line) for line in objects.read_text().splitlines()] == expected
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == TEXTS
    assert float(rows[0]["probability_positive"]) == expected[0]["probabilities"]["positive"]
    assert rows[1]["label"] == rows[1]["probability_positive"] == ""
    assert {path.name for path in tmp_path.iterdir()} == {"out", "answers.jsonl", "texts.txt"}


def test_labels_can_be_written_as_plain_lines(checkpoint, lines, tmp_path, capsys):
    assert predict(capsys, checkpoint, "--input", lines, "--output", tmp_path / "labels.txt") == []
    expected = [answer["label"] or "" for answer in rnn_lab.load(checkpoint).predict(TEXTS)]
    assert (tmp_path / "labels.txt").read_text().split("\n")[:-1] == expected


@pytest.mark.slow
def test_several_processes_keep_the_order(checkpoint, tmp_path, capsys):
    path = tmp_path / "many.txt"
    path.write_text("".join(f"the plot was number {i} .\n" for i in range(5000)))
    words = ["--input", path, "--trainer.accelerator=cpu"]
    one = predict(capsys, checkpoint, *words)
    two = predict(capsys, checkpoint, *words, "--trainer.devices=2")
    assert [answer["text"] for answer in one] == [answer["text"] for answer in two]
    for a, b in zip(one[::97], two[::97], strict=True):
        assert a["probabilities"] == pytest.approx(b["probabilities"], abs=1e-6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--input=no.txt"], "no.txt does not exist"),
        (["--input={lines}", "--output=answers.xls"], "must end in .jsonl, .csv or .txt"),
        (["--input={lines}", "--output={lines}"], "is the input"),
        (["--input=own.csv", "--output=own.csv"], "own.csv is the input"),
        (["--input={lines}", "--trainer.devices=0"], "must be at least 1"),
        (["--input={lines}", "--trainer.accelerator=abacus"], "must be auto, cpu or gpu"),
        (["--input={lines}", "--input-format=docx"], "format 'docx' is unknown"),
        (["--input={lines}", "--format=docx"], "--format must be jsonl, csv, text, got docx"),
        (["--input={lines}", "--beam_size=3"], "--beam_size requires a translation model"),
        (["--input={lines}", "--references={lines}"], "--references requires a translation model"),
        ([], "input"),
        (["--input={lines}", "--color=red"], "color"),
    ],
)
def test_errors_are_one_line(checkpoint, lines, capsys, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.csv").write_text("text\nfine\n")
    words = [word.format(lines=lines) for word in words]
    try:
        status = main(["predict", "--ckpt_path", checkpoint, *words])
    except SystemExit as error:
        status = error.code
    (line,) = capsys.readouterr().err.splitlines()
    assert status in (1, 2)
    assert line.startswith("rnn-lab: ")
    assert message in line
    assert not Path("answers.xls").exists()


@pytest.mark.parametrize(
    ("model", "data"), [("SequenceRegressor", "AddingProblem"), ("SequenceTagger", "CopyMemory")]
)
def test_models_of_generated_tensors_cannot_predict(model, data, lines, capsys, tmp_path):
    sizes = [f"--data.{split}_size=4" for split in ("train", "valid", "test")]
    words = [f"--model={model}", f"--data={data}", *sizes, "--trainer.max_epochs=1"]
    words += ["--trainer.accelerator=cpu", f"--trainer.default_root_dir={tmp_path / 'run'}"]
    assert main(["fit", *words]) == 0
    path = str(tmp_path / "run/checkpoints/best.ckpt")
    capsys.readouterr()
    assert main(["predict", "--ckpt_path", path, "--input", str(lines)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"by {model} with {data}, and {model}.predictor names no class that reads raw" in line
    assert f"`rnn-lab test --ckpt_path={path}`" in line
    assert main(["test", "--ckpt_path", path, "--trainer.accelerator=cpu"]) == 0


def test_models_trained_without_a_data_module_cannot_predict(tmp_path):
    path = tmp_path / "own.ckpt"
    spec = {
        "class_path": "rnn_lab.tasks.tagging.models.SequenceTagger",
        "init_args": {"vocab_size": 5},
    }
    handmade.write(path, spec)
    with pytest.raises(UserError, match="trained without a data module"):
        rnn_lab.load(str(path))
