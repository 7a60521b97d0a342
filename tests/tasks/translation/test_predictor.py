"""Raw sentences in, translations out: in Python and on the command line."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import rnn_lab
from rnn_lab.__main__ import main
from rnn_lab.errors import UserError
from rnn_lab.nn import GREEDY

ENGLISH = ["one two three", "", "two", "   ", "four four one zebra", "three " * 12, "one"]
TRAIN = "".join(
    f"{a} {b} {c}\t{c.upper()} {b.upper()} {a.upper()}\n"
    for a in ("one", "two", "three", "four")
    for b in ("one", "two", "three", "four")
    for c in ("one", "two", "three", "four")
)


def trained(folder, *words):
    """Train a model briefly; the quality of its translations does not matter."""
    (folder / "train.tsv").write_text(TRAIN)
    line = [
        *("fit", "--data=ParallelFiles", f"--data.train={folder}/train.tsv"),
        *("--data.tokenizer.kind=words", "--data.split.valid_fraction=0.2"),
        "--model.embedding_dim=8",
        *("--model.hidden_dim=8", "--trainer.max_epochs=1", "--trainer.accelerator=cpu"),
    ]
    assert main([*line, *words, f"--trainer.default_root_dir={folder}/run"]) == 0
    return str(folder / "run/checkpoints/best.ckpt")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("attention"), "--model=AttentionTranslator")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    folder = tmp_path_factory.mktemp("other")
    return trained(folder, "--model=AttentionTranslator", "--seed_everything=7")


@pytest.fixture(scope="module")
def no_attention(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("no_attention"), "--model=Seq2SeqTranslator")


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "sources.txt"
    path.write_text("".join(f"{text}\n" for text in ENGLISH))
    return path


def predict(capsys, checkpoint, *words):
    assert main(["predict", "--ckpt_path", checkpoint, *map(str, words)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def refused(capsys, *words):
    try:
        status = main([str(word) for word in words])
    except SystemExit as stop:
        status = stop.code
    (line,) = capsys.readouterr().err.splitlines()
    assert status in (1, 2)
    return line


def test_answers_are_in_order_and_include_empty_lines(checkpoint):
    answers = rnn_lab.load(checkpoint).predict(ENGLISH)
    assert [answer["source"] for answer in answers] == ENGLISH
    for answer in answers:
        empty = not answer["source"].strip()
        assert (answer["score"] is None) == empty
        assert not (empty and answer["translation"])


def test_a_translation_does_not_depend_on_other_sentences(checkpoint):
    predictor = rnn_lab.load(checkpoint)
    together = predictor.predict(ENGLISH)
    for text, answer in zip(ENGLISH, together, strict=True):
        (alone,) = predictor.predict([text])
        assert alone["translation"] == answer["translation"]
        assert alone["score"] == (answer["score"] and pytest.approx(answer["score"], abs=1e-5))
    assert predictor.predict(ENGLISH[::-1]) == [
        answer | {"score": answer["score"] and pytest.approx(answer["score"], abs=1e-5)}
        for answer in together[::-1]
    ]


def test_predict_reads_a_file_or_standard_input(checkpoint, lines, capsys, monkeypatch):
    answers = predict(capsys, checkpoint, "--input", lines)
    assert answers == rnn_lab.load(checkpoint).predict(ENGLISH)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.read_bytes())))
    assert predict(capsys, checkpoint, "--input", "-") == answers


@pytest.mark.slow
def test_a_moved_checkpoint_translates_the_same(checkpoint, lines, tmp_path, capsys):
    """In another process, in a folder with nothing but the checkpoint and the sentences."""
    expected = predict(capsys, checkpoint, "--input", lines, "--n_best=2")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(checkpoint, elsewhere / "a.ckpt")
    shutil.copy(lines, elsewhere / "in.txt")
    environment = {k: v for k, v in os.environ.items() if k != "RNN_LAB_DATA"}
    process = subprocess.run(
        [*(sys.executable, "-m", "rnn_lab", "predict", "--ckpt_path", "a.ckpt"),
         *("--input", "in.txt", "--n_best=2")],
        cwd=elsewhere, env=environment | {"XDG_CACHE_HOME": str(elsewhere)},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert [json.loads(line) for line in process.stdout.splitlines()] == expected


def test_text_output_has_a_line_per_sentence(checkpoint, lines, capsys):
    assert main(["predict", "--ckpt_path", checkpoint, "--input", str(lines), "--format=text"]) == 0
    expected = [answer["translation"] for answer in rnn_lab.load(checkpoint).predict(ENGLISH)]
    assert capsys.readouterr().out.split("\n")[:-1] == expected


def test_a_table_has_the_columns_with_single_values(checkpoint, lines, tmp_path, capsys):
    words = ["--input", lines, "--output", tmp_path / "a.csv"]
    assert predict(capsys, checkpoint, *words) == []
    first = (tmp_path / "a.csv").read_text().splitlines()[0]
    assert first == "source,translation,score"


def test_n_best_translations_are_sorted(checkpoint, lines, capsys):
    answers = predict(capsys, checkpoint, "--input", lines, "--n_best=3", "--beam_size=4")
    for answer in answers:
        if answer["score"] is not None:
            scores = [each["score"] for each in answer["translations"]]
            assert scores == sorted(scores, reverse=True)
            assert len(scores) == len({each["translation"] for each in answer["translations"]}) <= 3
            assert scores[0] == answer["score"]


def test_search_options_have_a_grouped_and_a_short_name(checkpoint, lines, capsys):
    grouped, short = (
        predict(capsys, checkpoint, "--input", lines, f"--{prefix}beam_size=2")
        for prefix in ("search.", "")
    )
    assert grouped == short


def test_references_are_scored_as_the_search_scores(checkpoint, lines, tmp_path, capsys):
    predictor = rnn_lab.load(checkpoint)
    best = predictor.predict(ENGLISH)
    references = tmp_path / "references.txt"
    references.write_text("".join(f"{answer['translation']}\n" for answer in best))
    scored = predict(capsys, checkpoint, "--input", lines, "--references", references)
    for answer in scored:
        if answer["translation"]:
            assert answer["reference_score"] == pytest.approx(answer["score"], abs=1e-5)
        assert answer["reference"] == answer["translation"]
    references.write_text("ONE\n")
    line = refused(
        capsys, "predict", "--ckpt_path", checkpoint, "--input", lines, "--references", references
    )
    assert f"{lines} has 7 lines, {references} has 1" in line


def test_attention_weights_match_words_and_sum_to_one(checkpoint, capsys, lines):
    for answer in predict(capsys, checkpoint, "--input", lines, "--attention=true"):
        if answer["score"] is not None:
            words, weights = answer["words"], torch.tensor(answer["weights"])
            assert weights.shape == (len(words["target"]), len(words["source"]))
            torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)), atol=2e-3, rtol=0)


def test_unknown_words_are_replaced_from_the_source(checkpoint):
    predictor = rnn_lab.load(checkpoint)
    with torch.no_grad():
        predictor.task.net.decoder.fc.weight.zero_()
        predictor.task.net.decoder.fc.bias.zero_()[1] = 9.0  # always the unknown word
    predictor.search = GREEDY
    (plain,) = predictor.predict(["zebra"])
    predictor.replace_unknown = True
    (replaced,) = predictor.predict(["zebra"])
    assert set(plain["translation"].split()) == {"<unk>"}
    assert set(replaced["translation"].split()) <= {"zebra", "<unk>"}
    assert "zebra" in replaced["translation"]


def test_sampling_is_reproducible_with_a_seed(checkpoint, lines, capsys):
    words = ["--input", lines, "--sampling=true", "--top_k=5", "--n_best=2"]
    first, again, another = (
        predict(capsys, checkpoint, *words, f"--seed={seed}") for seed in (1, 1, 2)
    )
    assert first == again
    assert first != another


def test_an_ensemble_needs_one_vocabulary(checkpoint, other, lines, tmp_path, capsys):
    alone = predict(capsys, checkpoint, "--input", lines)
    both = predict(capsys, checkpoint, "--input", lines, f"--ensemble=[{other}]")
    assert [answer["score"] for answer in alone] != [answer["score"] for answer in both]
    (tmp_path / "train.tsv").write_text("")
    folder = tmp_path / "foreign"
    folder.mkdir()
    foreign = trained(folder, "--model=AttentionTranslator", "--data.tokenizer.lowercase=true")
    capsys.readouterr()
    line = refused(
        capsys, "predict", "--ckpt_path", checkpoint, "--input", lines, f"--ensemble=[{foreign}]"
    )
    assert "is not a translator with the vocabulary of" in line


def test_the_test_writes_the_translations_of_predict(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("test.tsv").write_text(TRAIN)
    line = ["test", "--ckpt_path", checkpoint, "--data.test=test.tsv"]
    assert main([*line, "--trainer.default_root_dir=run"]) == 0
    tested = map(json.loads, Path("run/translations.test.jsonl").read_text().splitlines())
    sources = [row.split("\t")[0] for row in TRAIN.splitlines()]
    predicted = rnn_lab.load(checkpoint).predict(sources)
    assert [row["translation"] for row in tested] == [row["translation"] for row in predicted]


def test_an_ensemble_can_be_tested(checkpoint, other, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("test.tsv").write_text(TRAIN)
    scores = []
    for name, words in (("alone", []), ("both", [f"--ensemble=[{other}]"])):
        line = ["test", "--ckpt_path", checkpoint, "--data.test=test.tsv", *words]
        assert main([*line, f"--trainer.default_root_dir={name}"]) == 0
        scores.append(json.loads(Path(name, "scores.json").read_text())["scores"])
    assert scores[0]["loss"] != scores[1]["loss"]


def test_results_of_an_ensemble_do_not_overwrite_those_of_the_model(checkpoint, other):
    run = Path(checkpoint).parent.parent
    train = run.parent / "train.tsv"
    words = ["test", "--ckpt_path", checkpoint, f"--data.test={train}"]
    assert main(words) == 0
    alone = (run / "scores.json").read_text()
    assert main([*words, f"--ensemble=[{other}]"]) == 0
    assert (run / "scores.json").read_text() == alone
    assert (run / "ensemble/scores.json").read_text() != alone


def test_input_files_may_have_any_extension(checkpoint, lines, capsys):
    other_name = lines.rename(lines.with_name("new.en"))
    answers = predict(capsys, checkpoint, "--input", other_name)
    assert [answer["source"] for answer in answers] == ENGLISH


def test_input_that_is_not_text_is_refused_in_one_line(checkpoint, capsys, monkeypatch):
    broken = io.TextIOWrapper(io.BytesIO(b"caf\xe9\none\n"), "utf-8", "surrogateescape")
    monkeypatch.setattr("sys.stdin", broken)
    assert "a text is not utf-8" in refused(capsys, "translate", "--ckpt_path", checkpoint)


def test_averaged_checkpoints_translate(checkpoint, other, lines, tmp_path, capsys):
    mean = tmp_path / "mean.ckpt"
    assert main(["average", checkpoint, other, "--output", str(mean)]) == 0
    states = [
        torch.load(path, weights_only=True)["state_dict"] for path in (checkpoint, other, mean)
    ]
    for name, value in states[2].items():
        torch.testing.assert_close(value, (states[0][name] + states[1][name]) / 2)
    assert len(predict(capsys, str(mean), "--input", lines)) == len(ENGLISH)
    assert "give another --output" in refused(
        capsys, "average", checkpoint, other, "--output", mean
    )


def test_checkpoints_of_different_models_cannot_be_averaged(
    checkpoint, no_attention, tmp_path, capsys
):
    output = tmp_path / "mean.ckpt"
    line = refused(capsys, "average", checkpoint, no_attention, "--output", output)
    assert f"{no_attention} and {checkpoint} have different model settings" in line
    assert "at least two checkpoints" in refused(capsys, "average", checkpoint, "--output", output)
    assert not output.exists()


def test_weights_of_different_sizes_cannot_be_averaged(checkpoint, tmp_path, capsys):
    content = torch.load(checkpoint, weights_only=True)
    name, value = next(iter(content["state_dict"].items()))
    content["state_dict"][name] = value[:1]
    odd, output = tmp_path / "odd.ckpt", tmp_path / "mean.ckpt"
    torch.save(content, odd)
    line = refused(capsys, "average", checkpoint, odd, "--output", output)
    assert f"shape mismatch between the weights of {odd} and {checkpoint}" in line
    assert not output.exists()


def test_translate_answers_line_by_line(checkpoint, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("one two three\n\n"))
    assert main(["translate", "--ckpt_path", checkpoint, "--attention=true"]) == 0
    shown = capsys.readouterr().out.splitlines()
    (answer,) = rnn_lab.load(checkpoint).predict(["one two three"])
    assert shown[0] == answer["translation"]
    assert shown[-1] == ""  # the empty line
    assert len(shown) == 1 + len(answer["translation"].split()) + 1 + 1
    assert any("0." in line for line in shown[1:-1])


def test_translate_shows_n_best_translations_with_scores(checkpoint, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("one\n"))
    assert main(["translate", "--ckpt_path", checkpoint, "--n_best=2"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 2
    assert float(shown[0].split()[0]) >= float(shown[1].split()[0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--beam_size=0"], "beam_size must be at least 1"),
        (["--temperature=2"], "--temperature has no effect without sampling: set --sampling=true"),
        (
            ["--sampling=true", "--beam_size=2"],
            "--beam_size has no effect with sampling",
        ),
        (["--sampling=true", "--top_p=0"], "top_p must be above 0"),
        (["--n_best=3", "--beam_size=2"], "n_best must be from 1 to beam_size"),
        (["--format=yaml"], "--format must be"),
        (["--ensemble=[no.ckpt]"], "no.ckpt does not exist"),
        (["--length_penalty=-1"], "length_penalty must be at least 0, got -1"),
        (["--seed=3"], "--seed has no effect without sampling: set --sampling=true"),
        (["--format=csv", "--n_best=2"], "require --format=jsonl"),
        (["--format=text", "--attention=true"], "require --format=jsonl"),
        (["--references=no.txt"], "no.txt does not exist"),
    ],
)
def test_invalid_options_are_refused_in_one_line(checkpoint, lines, capsys, words, message):
    line = refused(capsys, "predict", "--ckpt_path", checkpoint, "--input", lines, *words)
    assert line.startswith("rnn-lab: ")
    assert message in line


def test_attention_options_are_refused_for_a_model_no_attention(no_attention, lines, capsys):
    for option in ("--attention=true", "--replace_unknown=true"):
        line = refused(capsys, "predict", "--ckpt_path", no_attention, "--input", lines, option)
        assert "Seq2SeqTranslator has no attention" in line


def test_subwords_are_never_replaced(tmp_path, lines, capsys):
    piecewise = trained(
        tmp_path,
        "--model=AttentionTranslator",
        "--data.tokenizer.kind=bpe",
        "--data.tokenizer.max_vocab_size=40",
    )
    capsys.readouterr()
    line = refused(
        capsys, "predict", "--ckpt_path", piecewise, "--input", lines, "--replace_unknown=true"
    )
    assert "bpe has subwords" in line


def test_a_predictor_refuses_a_single_string(checkpoint):
    with pytest.raises(UserError, match="got one string"):
        rnn_lab.load(checkpoint).predict("one")
