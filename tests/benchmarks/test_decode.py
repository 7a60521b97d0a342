"""Beam search in several ways."""

import pytest
import torch
from torch import nn

from rnn_lab.benchmarks import decode
from rnn_lab.benchmarks.comparison import check_equal
from rnn_lab.benchmarks.settings import Settings
from rnn_lab.errors import UserError
from rnn_lab.nn.layers.fused import FusedRNN

OPTIONS = {"ckpt_path": None, "count": 4, "device": "cpu", "bfloat16": False}


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(decode, "HIDDEN", 8)


def test_all_ways_find_translations_of_equal_scores(small):
    comparison = next(decode.comparisons(Settings(quick=True)))
    built = decode.build(OPTIONS, ["textbook", "single", "batches"])
    values = {each.name: built[each.implementation].values() for each in comparison.variants}
    check_equal(comparison, values)
    assert len(set(values["textbook"])) == 4
    assert built["batches"].run(0).items == 4


def test_lengths_of_untrained_translations_vary():
    predictor, texts = decode.open_translator(None, 8)
    lengths = {len(answer["translation"]) for answer in predictor.predict(texts)}
    assert len(lengths) > 2


def test_layers_of_torch_are_used_within_and_ours_after():
    layer = decode.AttentionTranslator(9, 9, 4, 6).net.decoder.upper
    assert isinstance(layer, FusedRNN)
    own, x = layer.forward, torch.randn(2, 3, layer.input_size)
    with decode.plain_torch(nn.Sequential(layer)):
        assert layer.forward != own
        output = layer(x)[0]
    assert layer.forward == own
    torch.testing.assert_close(output, layer(x)[0])


def test_checkpoints_of_other_tasks_are_refused(monkeypatch):
    monkeypatch.setattr(decode, "load", lambda path: object())
    with pytest.raises(UserError, match=r"^a\.ckpt is not a checkpoint of a translator"):
        decode.open_translator("a.ckpt", 3)
