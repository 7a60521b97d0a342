"""Interactive translation: input lines and their presentation."""

import io

import pytest
import torch

import rnn_lab
from rnn_lab.__main__ import main
from rnn_lab.commands import translate
from rnn_lab.commands.translate import format_translations
from rnn_lab.nn import GREEDY

WORDS = ("one", "two", "three", "four")
PAIRS = "".join(
    f"{a} {b} {c}\t{c.upper()} {a.upper()}\n" for a in WORDS for b in WORDS for c in WORDS
)


@pytest.fixture(scope="module", params=["AttentionTranslator", "Seq2SeqTranslator"])
def translator(request, tmp_path_factory):
    """A translator that always answers with the unknown word, as its checkpoint."""
    folder = tmp_path_factory.mktemp("translator")
    (folder / "train.tsv").write_text(PAIRS)
    line = ["--data=ParallelFiles", f"--data.train={folder}/train.tsv", "--model.embedding_dim=8"]
    line += ["--model.hidden_dim=8", "--trainer.max_epochs=1", "--trainer.accelerator=cpu"]
    line += ["--data.split.valid_fraction=0.2", "--data.tokenizer.kind=words"]
    root = f"--trainer.default_root_dir={folder}"
    assert main(["fit", f"--model={request.param}", *line, root]) == 0
    path = str(folder / "checkpoints/best.ckpt")
    checkpoint = torch.load(path, weights_only=True)
    for name, weights in checkpoint["state_dict"].items():
        if name in ("net.decoder.fc.weight", "net.decoder.fc.bias"):
            weights.zero_()
    checkpoint["state_dict"]["net.decoder.fc.bias"][1] = 9.0
    torch.save(checkpoint, path)
    return request.param, path


def translation_of(capsys, monkeypatch, *options):
    monkeypatch.setattr("sys.stdin", io.StringIO("zebra\n"))
    capsys.readouterr()
    assert main(list(options)) == 0
    return set(capsys.readouterr().out.split())


def test_unknown_words_are_taken_from_the_source_where_the_model_has_attention(
    translator, capsys, monkeypatch
):
    model, path = translator
    command = ["translate", "--ckpt_path", path]
    expected = {"zebra"} if model == "AttentionTranslator" else {"<unk>"}
    assert translation_of(capsys, monkeypatch, *command) == expected
    own = translation_of(capsys, monkeypatch, *command, "--replace_unknown=false")
    assert own == {"<unk>"}


def test_predict_and_load_give_the_own_output_of_the_model(
    translator, capsys, monkeypatch, tmp_path
):
    _, path = translator
    (tmp_path / "lines.txt").write_text("zebra\n")
    words = ["predict", "--ckpt_path", path, f"--input={tmp_path}/lines.txt", "--format=text"]
    assert translation_of(capsys, monkeypatch, *words) == {"<unk>"}
    predictor = rnn_lab.load(path)
    predictor.search = GREEDY
    (answer,) = predictor.predict(["zebra"])
    assert set(answer["translation"].split()) == {"<unk>"}


def test_attention_names_source_words_that_the_model_does_not_know(translator):
    model, path = translator
    predictor = rnn_lab.load(path)
    predictor.search, predictor.attention = GREEDY, model == "AttentionTranslator"
    (answer,) = predictor.predict(["zebra one"])
    if predictor.attention:
        assert answer["words"]["source"] == ["zebra", "one", "<eos>"]


def test_ctrl_c_stops_one_translation_on_a_terminal(monkeypatch):
    class Interrupted:
        def predict(self, lines):
            raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(KeyboardInterrupt):
        translate._translate(Interrupted(), "one")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert translate._translate(Interrupted(), "one") == []


def test_a_single_translation_is_shown_without_its_score():
    assert format_translations({"translation": "ein Hund", "score": -1.0}) == ["ein Hund"]


def test_several_translations_are_shown_with_their_scores():
    translations = [
        {"translation": "ein Hund", "score": -1.0},
        {"translation": "Hund", "score": -12.5},
    ]
    lines = format_translations({"translations": translations})
    assert lines == ["  -1.000  ein Hund", " -12.500  Hund"]


def test_attention_lists_source_words_by_weight_above_the_minimum():
    answer = {
        "translation": "ein Hund",
        "words": {"source": ["a", "dog", "."], "target": ["ein", "Hund"]},
        "weights": [[0.7, 0.25, 0.05], [0.09, 0.9, 0.01]],
    }
    assert format_translations(answer) == [
        "ein Hund",
        "  ein   a 0.70  dog 0.25",
        "  Hund  dog 0.90",
    ]
