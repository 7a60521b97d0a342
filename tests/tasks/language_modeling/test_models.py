"""The named language models, and the arguments of the configurable one."""

import logging

import pytest
import torch

from rnn_lab.errors import UserError
from rnn_lab.models import AWDLSTM, LanguageModel, LSTMLanguageModel
from rnn_lab.tasks.language_modeling.options import ActivationRegularization, Dropouts

VOCAB_SIZE = 11


def build(cls=LanguageModel, **options):
    torch.manual_seed(0)
    return cls(VOCAB_SIZE, 6, 8, 2, **options)


@pytest.mark.parametrize(("embedding_dim", "lines"), [(6, 1), (8, 0)], ids=["other", "equal"])
def test_a_size_that_tied_embeddings_change_is_logged(caplog, embedding_dim, lines):
    caplog.set_level(logging.INFO, "rnn_lab")
    LSTMLanguageModel(VOCAB_SIZE, embedding_dim, 8, 1).on_fit_start()
    assert len(caplog.messages) == lines
    assert all("6 units (embedding_dim), not 8" in message for message in caplog.messages)


@pytest.mark.parametrize("cls", [LSTMLanguageModel, AWDLSTM])
def test_a_named_model_is_the_configurable_one_with_its_attributes(cls):
    named = build(cls)
    configured = build(
        layer=cls.layer,
        dropouts=cls.dropouts,
        regularization=cls.regularization,
        tie_embeddings=cls.tie_embeddings,
    )
    assert str(named).partition("\n")[2] == str(configured).partition("\n")[2]
    for ours, theirs in zip(named.parameters(), configured.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_drop_mult_scales_all_dropouts_of_awd_lstm():
    model = build(AWDLSTM, drop_mult=0.5)
    modules = (
        model.embedding_dropout, model.input_dropout, model.layer_dropout, model.output_dropout
    )  # fmt: skip
    assert [module.p for module in modules] == [0.05, 0.325, 0.1, 0.2]
    assert [layer.weight_drop for layer in model.layers] == [0.25, 0.25]


def test_options_may_be_mappings_as_a_checkpoint_stores_them():
    model = build(dropouts={"output": 0.3}, regularization={"temporal": 1.0})
    assert model.dropouts == Dropouts(output=0.3)
    assert model.regularization == ActivationRegularization(temporal=1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "LSTN"}, "no recurrent layer LSTN: did you mean LSTM"),
        ({"layer_kwargs": {"zone": 1}}, "LSTM has no option zone"),
        ({"dropouts": {"input": 1.0}}, "p must be at least 0 and below 1, got 1.0"),
        ({"dropouts": {"weight_drop": 1.5}}, "weight_drop must be at least 0 and below 1, got 1.5"),
        ({"dropouts": {"inputs": 0.5}}, "Dropouts has no option 'inputs'"),
        ({"regularization": {"activation": -1}}, "activation must be at least 0, got -1"),
        ({"label_smoothing": -1}, "label_smoothing must be 0 to below 1, got -1"),
        ({"init_range": -0.1}, "init_range must be at least 0, got -0.1"),
    ],
)
def test_invalid_arguments_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        build(**options)


def test_a_negative_drop_mult_is_refused():
    with pytest.raises(UserError, match="drop_mult must be at least 0, got -1"):
        build(AWDLSTM, drop_mult=-1)


def test_a_missing_vocab_size_is_refused():
    with pytest.raises(UserError, match="LanguageModel needs vocab_size"):
        LanguageModel(None)
