"""Dropout probabilities of encoders and decoders."""

import pytest
import torch

from rnn_lab.nn.seq2seq.dropouts import NO_DROPOUT, Seq2SeqDropouts


def test_no_dropout_changes_nothing_in_training():
    x = torch.ones(2, 3, 4)
    assert torch.equal(NO_DROPOUT.feature_dropout(NO_DROPOUT.input)(x), x)


@pytest.mark.parametrize("variational", [False, True])
def test_variational_dropout_has_one_mask_for_all_steps(variational):
    torch.manual_seed(0)
    dropped = Seq2SeqDropouts(variational=variational).feature_dropout(0.5)(torch.ones(3, 6, 8))
    assert (dropped == dropped[:, :1]).all() == variational


@pytest.mark.parametrize("name", ["layer", "input", "encoder_output", "output", "embedding"])
@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_probabilities_out_of_range_are_refused(name, p):
    with pytest.raises(ValueError, match=f"dropouts.{name} must be at least 0 and below 1"):
        Seq2SeqDropouts(**{name: p})
