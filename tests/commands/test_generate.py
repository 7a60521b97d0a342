"""Texts that a language model continues and scores: in Python and on the command line."""

import csv
import io
import json
import math

import pytest
import torch

import rnn_lab
from rnn_lab.__main__ import main
from rnn_lab.errors import UserError
from rnn_lab.tasks.language_modeling.tokenizer import LINE_END

TEXT = "one two three\nthree two one\ntwo two four\n\none one one three two\n"


def trained(folder, *words):
    """A model that was hardly trained: what it says does not matter here."""
    (folder / "train.txt").write_text(TEXT * 20)
    line = [
        *("fit", "--model=LSTMLanguageModel", "--data=LanguageModelingFiles"),
        *(f"--data.train={folder}/train.txt", "--data.bptt=8", "--data.batch_size=4"),
        *("--model.embedding_dim=8", "--model.hidden_dim=8", "--trainer.max_epochs=1"),
        *("--trainer.accelerator=cpu", f"--trainer.default_root_dir={folder}/run"),
    ]
    assert main([*line, *words]) == 0
    return str(folder / "run/checkpoints/best.ckpt")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def by_character(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("letters"), "--data.tokenizer.kind=characters")


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


def refused(capsys, *words):
    try:
        status = main([str(word) for word in words])
    except SystemExit as stop:
        status = stop.code
    (line,) = capsys.readouterr().err.splitlines()
    assert status in (1, 2)
    return line


def added(predictor, prompt, text):
    """The ids that were written after a prompt."""
    reader = predictor.reader
    before, after = (reader.encode_lines(part.split("\n"))[:-1] for part in (prompt, text))
    assert after[: len(before)] == before
    return after[len(before) :]


@pytest.mark.parametrize("kind", ["checkpoint", "by_character"])
def test_the_greedy_text_is_the_argmax_of_forward(kind, request):
    predictor = rnn_lab.load(request.getfixturevalue(kind))
    prompt = "one two\nthree"
    (text,) = predictor.generate(prompt, 12, temperature=0, unknown=True)
    written = added(predictor, prompt, text)
    assert len(written) == 12
    ids = [LINE_END, *predictor.reader.encode_lines(prompt.split("\n"))[:-1]]
    for word in written:
        with torch.no_grad():
            logits, _ = predictor.task(torch.tensor([ids]))
        assert int(logits[0, -1].argmax()) == word
        ids.append(word)


def test_a_seed_decides_what_is_drawn(checkpoint):
    predictor = rnn_lab.load(checkpoint)
    first = predictor.generate("one", 30, seed=1, num_samples=3)
    assert first == rnn_lab.load(checkpoint).generate("one", 30, seed=1, num_samples=3)
    assert len(set(first)) == 3
    assert first != predictor.generate("one", 30, seed=2, num_samples=3)


def test_words_are_drawn_by_their_probability(checkpoint):
    predictor = rnn_lab.load(checkpoint)
    reader, count = predictor.reader, 4000
    texts = predictor.generate("one", 1, num_samples=count, unknown=True)
    with torch.no_grad():
        logits, _ = predictor.task(torch.tensor([[LINE_END, *reader.encode(["one"])[0]]]))
    expected = logits[0, -1].softmax(0)
    drawn = torch.tensor([added(predictor, "one", text)[0] for text in texts])
    share = torch.bincount(drawn, minlength=len(reader)) / count
    torch.testing.assert_close(share, expected, atol=0.03, rtol=0)


def test_the_likeliest_alone_are_drawn_where_that_is_asked_for(checkpoint):
    predictor = rnn_lab.load(checkpoint)
    (greedy,) = predictor.generate("two", 20, temperature=0)
    assert predictor.generate("two", 20, top_k=1, seed=5) == [greedy]
    assert predictor.generate("two", 20, top_p=1e-6, seed=5) == [greedy]
    assert predictor.generate("two", 20, temperature=1e-9, seed=5) == [greedy]


def test_the_unknown_word_is_written_only_where_it_may_be(checkpoint):
    predictor = rnn_lab.load(checkpoint)
    with torch.no_grad():
        predictor.task.head.bias[1] = 50
    assert predictor.generate("one", 3, unknown=True) == ["one <unk> <unk> <unk>"]
    assert "<unk>" not in predictor.generate("one", 50)[0]


def test_a_text_ends_where_it_is_to_stop(by_character):
    predictor = rnn_lab.load(by_character)
    (whole,) = predictor.generate("one\nt", 300, seed=3)
    (line,) = predictor.generate("one\nt", 300, seed=3, stop="\n")
    assert len(whole) == len("one\nt") + 300
    assert line == whole[: whole.index("\n", 4)]


def test_each_of_several_texts_stops_by_itself(by_character):
    predictor = rnn_lab.load(by_character)
    whole = predictor.generate("", 300, seed=3, num_samples=4)
    lines = predictor.generate("", 300, seed=3, num_samples=4, stop="\n")
    assert len({len(line) for line in lines}) > 1
    assert lines == [text.split("\n")[0] for text in whole]


def test_words_are_apart_and_characters_are_not(checkpoint, by_character):
    (words,) = rnn_lab.load(checkpoint).generate("one", 1, temperature=0)
    assert words[:3] == "one"
    assert words[3] in " \n"
    (letters,) = rnn_lab.load(by_character).generate("on", 1, temperature=0)
    assert len(letters) == 3


def test_the_probability_of_a_line_is_that_of_its_words_and_its_end(checkpoint):
    predictor = rnn_lab.load(checkpoint)
    lines = ["one two", "", "three three zebra two one"]
    for line, answer in zip(lines, predictor.predict(lines), strict=True):
        ids = [LINE_END, *predictor.reader.encode_lines([line])]
        with torch.no_grad():
            logits, _ = predictor.task(torch.tensor([ids[:-1]]))
        expected = logits[0].log_softmax(1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
        assert answer["text"] == line
        assert answer["tokens"] == [predictor.reader.words[i] for i in ids[1:]]
        assert answer["log_probabilities"] == pytest.approx(expected.tolist(), abs=1e-5)
        assert answer["log_probability"] == pytest.approx(float(expected.sum()), abs=1e-5)
        perplexity = math.exp(-float(expected.mean()))
        assert answer["perplexity"] == pytest.approx(perplexity, rel=1e-5)


def test_the_command_writes_what_python_gives(checkpoint, capsys):
    line = ["generate", "--ckpt_path", checkpoint, r"--prompt=one\ntwo", "--length=9"]
    assert main([*line, "--num_samples=2", "--seed=4", "--json=true"]) == 0
    texts = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    expected = rnn_lab.load(checkpoint).generate("one\ntwo", 9, num_samples=2, seed=4)
    assert texts == expected
    assert main([*line, "--temperature=0"]) == 0
    (greedy,) = rnn_lab.load(checkpoint).generate("one\ntwo", 9, temperature=0)
    assert capsys.readouterr().out == f"{greedy}\n"


def test_predict_writes_a_line_for_each_line(checkpoint, capsys, tmp_path):
    lines = ["one two", "", "zebra"]
    (tmp_path / "in.txt").write_text("".join(f"{line}\n" for line in lines))
    ask = ["predict", "--ckpt_path", checkpoint, "--input", f"{tmp_path}/in.txt"]
    expected = rnn_lab.load(checkpoint).predict(lines)
    assert main(ask) == 0
    assert [json.loads(row) for row in capsys.readouterr().out.splitlines()] == expected
    assert main([*ask, "--format=csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["text"] for row in rows] == lines
    for row, answer in zip(rows, expected, strict=True):
        assert float(row["perplexity"]) == answer["perplexity"]
        assert float(row["log_probability"]) == answer["log_probability"]
    assert main([*ask, "--format=text"]) == 0
    shown = [float(row) for row in capsys.readouterr().out.splitlines()]
    assert shown == pytest.approx([answer["perplexity"] for answer in expected], rel=1e-5)


def test_a_checkpoint_is_tested_again_by_itself(checkpoint, capsys, tmp_path):
    (tmp_path / "other.txt").write_text("one zebra\n" * 9)
    words = ["--data.test", f"{tmp_path}/other.txt", "--trainer.accelerator=cpu"]
    root = f"--trainer.default_root_dir={tmp_path}/run"
    assert main(["test", "--ckpt_path", checkpoint, *words, root]) == 0
    assert "test/perplexity" in capsys.readouterr().out


def test_training_starts_from_the_weights_and_words_of_another(checkpoint, tmp_path):
    (tmp_path / "other.txt").write_text("one zebra\n" * 99)
    words = [f"--data.train={tmp_path}/other.txt", "--trainer.accelerator=cpu"]
    root = f"--trainer.default_root_dir={tmp_path}/run"
    assert main(["fit", "--init_from", checkpoint, *words, root, "--trainer.max_epochs=1"]) == 0
    tuned = rnn_lab.load(f"{tmp_path}/run/checkpoints/best.ckpt")
    assert tuned.reader.words == rnn_lab.load(checkpoint).reader.words


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "length must be at least 1, got 0"),
        ({"temperature": -1.0}, "temperature must be at least 0, got -1.0"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_p": 1.5}, "top_p must be above 0 and at most 1, got 1.5"),
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
        ({"temperature": 0, "top_k": 3}, "top_k has no effect at temperature 0"),
        ({"temperature": 0, "num_samples": 2}, "all samples are equal at temperature 0"),
    ],
)
def test_numbers_without_a_meaning_are_refused(checkpoint, options, message):
    with pytest.raises(UserError, match=message):
        rnn_lab.load(checkpoint).generate("one", **options)


def test_wrong_checkpoints_are_one_line(checkpoint, classifier, capsys, tmp_path):
    (tmp_path / "in.txt").write_text("one\n")
    generate = ["generate", "--ckpt_path"]
    assert "is no language model" in refused(capsys, *generate, classifier)
    assert "does not exist" in refused(capsys, *generate, "absent.ckpt")
    line = refused(capsys, *generate, checkpoint, "--top_k=0")
    assert line == "rnn-lab: top_k must be at least 1, got 0"
    ask = ["--ckpt_path", checkpoint, "--input", tmp_path / "in.txt"]
    assert "does not translate" in refused(capsys, "predict", *ask, "--beam_size=2")
    assert "does not translate" in refused(capsys, "translate", "--ckpt_path", checkpoint)
    data = ["fit", "--model=LSTMLanguageModel", "--data=LanguageModelingFiles"]
    line = refused(capsys, *data, f"--data.vocab_from_checkpoint={classifier}")
    assert "is no language model, it was trained on rnn_lab.SyntheticReviews" in line
    reviews = ["fit", "--model=LSTMClassifier", "--data=SyntheticReviews"]
    assert "is not a text classification checkpoint" in refused(
        capsys, *reviews, f"--data.vocab_from_checkpoint={checkpoint}"
    )


def test_models_and_data_that_do_not_fit_are_refused(capsys):
    line = refused(capsys, "fit", "--model=LSTMClassifier", "--data=SyntheticText")
    assert "but SyntheticText provides LMBatch; try" in line
    line = refused(capsys, "fit", "--model=LanguageModel", "--data=SyntheticReviews")
    assert "but SyntheticReviews provides TextBatch" in line
