"""The Transformer for translation."""

import pytest
import torch

from rnn_lab.errors import UserError
from rnn_lab.models import TransformerTranslator

VOCAB = 12


@pytest.mark.parametrize("tied", ["none", "decoder", "all"])
def test_tied_embeddings_are_one_parameter(tied):
    model = TransformerTranslator(VOCAB, VOCAB, 8, 1, tie_embeddings=tied)
    tables = sum(parameter.shape == (VOCAB, 8) for parameter in model.parameters())
    assert tables == {"none": 3, "decoder": 2, "all": 1}[tied]
    again = TransformerTranslator(VOCAB, VOCAB, 8, 1, tie_embeddings=tied)
    again.load_state_dict(model.state_dict())
    assert (again.net.decoder.fc.weight is again.net.decoder.embedding.table.weight) == (
        tied != "none"
    )


def test_attention_weights_of_a_translation_sum_to_one_over_its_source():
    torch.manual_seed(0)
    model = TransformerTranslator(VOCAB, VOCAB, 8, 2).eval()
    src, lengths = torch.tensor([[5, 6, 7, 3], [8, 3, 0, 0]]), torch.tensor([4, 2])
    for (best, *_), length in zip(model.decode(src, lengths, attention=True), [4, 2], strict=True):
        assert best.attention.shape == (len(best.tokens) + 1, length)
        torch.testing.assert_close(best.attention.sum(1), torch.ones(len(best.tokens) + 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_dim": 10}, r"must be a multiple of transformer.num_heads \(4\), got 10"),
        ({"num_layers": 0}, "num_layers must be at least 1, got 0"),
        ({"src_vocab_size": None}, "TransformerTranslator needs src_vocab_size"),
        ({"trg_vocab_size": 13, "tie_embeddings": "all"}, "needs one vocabulary of both languages"),
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    sizes = {"src_vocab_size": VOCAB, "trg_vocab_size": VOCAB, "hidden_dim": 8}
    with pytest.raises(UserError, match=message):
        TransformerTranslator(**{**sizes, **arguments})
