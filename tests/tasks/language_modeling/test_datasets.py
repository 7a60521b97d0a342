import numpy as np
import pytest

from rnn_lab.datamodules import TinyShakespeare, WikiText2
from rnn_lab.errors import UserError
from rnn_lab.tasks.language_modeling import datasets

SPLITS = ("train", "valid", "test")


@pytest.mark.data
@pytest.mark.slow
def test_wikitext2_has_the_published_number_of_tokens(data_root):
    data = WikiText2(root=str(data_root))
    sizes = {name: len(data.split(name)) for name in SPLITS}
    assert sizes == {"train": 2_088_628, "valid": 217_646, "test": 245_569}
    assert data.vocab_size == 33_278
    ids = np.array(data.split("train").ids[:6]).tolist()
    assert data.tokenizer.text(ids) == "\n= Valkyria Chronicles III ="


@pytest.mark.data
@pytest.mark.slow
def test_tiny_shakespeare_is_complete_and_split_at_90_and_95_percent(data_root):
    data = TinyShakespeare(root=str(data_root))
    text = "".join(data.tokenizer.text(np.array(data.split(name).ids).tolist()) for name in SPLITS)
    assert text == (data_root / "tinyshakespeare/input.txt").read_text()
    assert len(data.split("train")) / len(text) == pytest.approx(0.9, abs=1e-3)
    assert len(data.split("valid")) / len(text) == pytest.approx(0.05, abs=1e-3)
    assert data.vocab_size == 66  # 65 different characters, line end included, and the unknown one


def test_an_incomplete_file_of_wikitext2_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "wiki.train.tokens"
    path.write_text("a b\nc\n")
    monkeypatch.setattr(datasets, "locate", lambda *_: path)
    with pytest.raises(UserError, match="train split of WikiText2 has 2 lines instead of 36718"):
        list(WikiText2().sources()["train"]())
