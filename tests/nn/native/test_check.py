"""The comparison of compiled kernels with plain PyTorch finds differences."""

import pytest
import torch

from rnn_lab.nn.native import check


def test_without_kernels_nothing_is_compared(monkeypatch):
    monkeypatch.setattr(check, "load", lambda: None)
    with pytest.raises(SystemExit, match="cannot be loaded"):
        check.main()


def test_a_difference_names_the_layer(monkeypatch):
    results = iter([[torch.zeros(1)], [torch.ones(1)]])
    monkeypatch.setattr(check, "load", lambda: object())
    monkeypatch.setattr(check, "_results", lambda *_: next(results))
    with pytest.raises(SystemExit, match="the compiled kernel of RNN differs from PyTorch"):
        check.main()


def test_a_difference_names_the_decoder(monkeypatch):
    results = iter([[torch.zeros(1)], [torch.ones(1)]])
    monkeypatch.setattr(check, "load", lambda: object())
    monkeypatch.setattr(check, "_results", lambda *_: [])
    monkeypatch.setattr(check, "_decoder_results", lambda *_: next(results))
    with pytest.raises(SystemExit, match="of AttentionDecoder with RNN and additive attention"):
        check.main()
