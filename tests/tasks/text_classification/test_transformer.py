"""The Transformer for text classification."""

import pytest
import torch

from rnn_lab.errors import UserError
from rnn_lab.models import TransformerClassifier

VOCABULARY = 30


@pytest.mark.parametrize("pooling", ["final", "mean", "max", "attention", "mean+max"])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_padding_is_never_read_with_any_option(pooling, positions, norm_first):
    torch.manual_seed(0)
    options = {"positions": positions, "norm_first": norm_first, "feedforward_dim": 12}
    model = TransformerClassifier(VOCABULARY, 8, pooling=pooling, transformer=options).eval()
    x, lengths = torch.randint(1, VOCABULARY, (4, 9)), torch.tensor([9, 1, 4, 6])
    together = model.logits(x, lengths)
    for row, length in enumerate(lengths):
        alone = model.logits(x[row : row + 1, :length])
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-5)


def test_the_order_of_words_matters():
    torch.manual_seed(0)
    model = TransformerClassifier(VOCABULARY, 8).eval()
    x = torch.tensor([[4, 5, 6]])
    assert not torch.allclose(model(x), model(x.flip(1)))


def test_dropouts_are_applied_where_they_say():
    dropouts = {"layer": 0.1, "head": 0.2, "embedding": 0.3, "word": 0.4}
    model = TransformerClassifier(VOCABULARY, 8, dropouts=dropouts)
    layers = {each.dropout.p for each in model.encoder.layers}
    assert layers | {model.encoder.positions.dropout.p} == {0.1}
    assert (model.dropout.p, model.embedding_dropout.p, model.word_dropout.p) == (0.2, 0.3, 0.4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_dim": 10}, r"must be a multiple of transformer.num_heads \(4\), got 10"),
        ({"hidden_dim": 0}, "hidden_dim must be at least 1, got 0"),
        ({"num_layers": 0}, "num_layers must be at least 1, got 0"),
        ({"pooling": "sum"}, "pooling must be one of final, mean, max, attention"),
        ({"transformer": {"heads": 2}}, "TransformerOptions has no option 'heads'"),
        ({"dropouts": {"layer": 1.0}}, "layer_dropout must be at least 0 and below 1"),
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        TransformerClassifier(VOCABULARY, **arguments)


def test_texts_longer_than_the_learned_positions_are_refused():
    options = {"positions": "learned", "max_positions": 5}
    model = TransformerClassifier(VOCABULARY, 8, transformer=options)
    with pytest.raises(UserError, match=r"transformer.max_positions \(5\), got a sequence of 6"):
        model(torch.ones(1, 6, dtype=torch.long))
