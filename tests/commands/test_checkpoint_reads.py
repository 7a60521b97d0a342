"""Each command reads its checkpoint once."""

from collections import Counter

import pytest
import torch

from rnn_lab.__main__ import main

FIT = ("fit", "--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--early_stopping.patience=9")
SIZES = ("--data.train_size=32", "--data.valid_size=16", "--data.test_size=16")
TEXTS = ("--model=LSTMClassifier", "--data=SyntheticReviews", "--model.hidden_dim=4", *SIZES)
CHIRPS = ("--model=GRUClassifier", "--data=SyntheticChirps", "--model.hidden_dim=4", *SIZES)
PAIRS = ("--model=Seq2SeqTranslator", "--data=SyntheticDates", "--model.hidden_dim=4", *SIZES)
LINES = ("--model=LSTMLanguageModel", "--data=SyntheticText", "--model.hidden_dim=4", *SIZES)
SERIES = ("--model=LSTMForecaster", "--data=SyntheticSeries", "--model.hidden_dim=4")
COMMANDS = {
    "test": (TEXTS, "test --ckpt_path {ckpt}"),
    "validate": (TEXTS, "validate --ckpt_path {ckpt}"),
    "predict texts": (TEXTS, "predict --ckpt_path {ckpt} --input {texts}"),
    "resume": (TEXTS, "fit --ckpt_path {ckpt} --trainer.max_epochs=2"),
    "resume by name": (TEXTS, "fit --experiment=e --name=n --ckpt_path=last {fit}"),
    "start from": (TEXTS, "fit --init_from {ckpt} --trainer.max_epochs=1"),
    "test series": (CHIRPS, "test --ckpt_path {ckpt}"),
    "predict series": (CHIRPS, "predict --ckpt_path {ckpt} --input {series}"),
    "translate": (PAIRS, "predict --ckpt_path {ckpt} --input {texts} --beam_size=2"),
    "generate": (LINES, "generate --ckpt_path {ckpt} --max_new_tokens 3"),
    "backtest": (SERIES, "backtest --ckpt_path {ckpt} --output out"),
    "forecast": (SERIES, "predict --ckpt_path {ckpt} --input {table}"),
}


@pytest.fixture
def reads(monkeypatch):
    """Count how often torch reads each file."""
    counts = Counter()
    load = torch.load

    def counted(file, *args, **kwargs):
        counts[str(file)] += 1
        return load(file, *args, **kwargs)

    monkeypatch.setattr(torch, "load", counted)
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_reads_its_checkpoint_once(command, reads, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options, words = COMMANDS[command]
    assert main([*FIT, *options, "--experiment=e", "--name=n"]) == 0
    monkeypatch.delenv("RNN_LAB_RUN", raising=False)
    (tmp_path / "texts.txt").write_text("the plot was not bad\n")
    (tmp_path / "series.jsonl").write_text('{"values": [[0.1, 0.2], [0.3, 0.4]]}\n')
    hours = (
        f"2024-01-{1 + i // 24:02d} {i % 24:02d}:00:00,{i % 7},{i % 5},{i}" for i in range(400)
    )
    (tmp_path / "table.csv").write_text("\n".join(["date,y1,y2,y3", *hours]))
    places = {
        "ckpt": "runs/e/n/checkpoints/last.ckpt",
        "texts": "texts.txt",
        "series": "series.jsonl",
        "table": "table.csv",
        "fit": " ".join([*options, *FIT[2:], "--trainer.max_epochs=2"]),
    }
    reads.clear()
    status = main(words.format(**places).split())
    assert status == 0, capsys.readouterr().err
    assert list(reads.values()) == [1]
