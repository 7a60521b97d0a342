"""Laws of dropout of words, embeddings and features."""

import pytest
import torch
from torch import nn

from rnn_lab.nn import EmbeddingDropout, VariationalDropout, WordDropout


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_word_dropout_replaces_the_expected_fraction_of_words() -> None:
    tokens = torch.randint(2, 50, (100, 100))
    dropped = WordDropout(0.3, unk_id=1)(tokens)
    changed = dropped != tokens
    assert (dropped[changed] == 1).all()
    assert changed.float().mean().item() == pytest.approx(0.3, abs=0.02)


def test_word_dropout_never_replaces_padding() -> None:
    tokens = torch.tensor([[5, 0, 0], [6, 7, 0]]).repeat(50, 1)
    dropped = WordDropout(0.9, unk_id=1, pad_id=0)(tokens)
    assert torch.equal(dropped == 0, tokens == 0)


def test_embedding_dropout_drops_all_occurrences_of_a_word_together() -> None:
    table, tokens = nn.Embedding(20, 3), torch.arange(20).repeat(4, 1)
    embedded = EmbeddingDropout(0.5)(table, tokens)
    assert torch.equal(embedded, embedded[:1].expand(4, -1, -1))
    remaining = embedded[0].any(dim=-1)
    assert 0 < remaining.sum() < 20
    torch.testing.assert_close(embedded[0, remaining], 2 * table.weight[remaining])


def test_embedding_dropout_keeps_the_expected_value() -> None:
    table, tokens = nn.Embedding.from_pretrained(torch.ones(20_000, 1)), torch.arange(20_000)[None]
    assert EmbeddingDropout(0.4)(table, tokens).mean().item() == pytest.approx(1, abs=0.02)


def test_a_dropped_word_gets_no_gradient() -> None:
    table, tokens = nn.Embedding(20, 3), torch.arange(20)[None]
    embedded = EmbeddingDropout(0.5)(table, tokens)
    embedded.sum().backward()
    assert torch.equal(table.weight.grad.any(-1), embedded[0].any(-1))


@pytest.mark.parametrize("p", [0.0, 0.5])
def test_there_is_no_dropout_in_evaluation(p: float) -> None:
    table, tokens = nn.Embedding(20, 3), torch.randint(0, 20, (4, 6))
    assert torch.equal(WordDropout(p).eval()(tokens), tokens)
    assert torch.equal(EmbeddingDropout(p).eval()(table, tokens), table(tokens))


@pytest.mark.parametrize("module", [WordDropout, EmbeddingDropout])
@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_the_error_on_an_invalid_probability_names_the_value(module: type, p: float) -> None:
    with pytest.raises(ValueError, match=f"got {p}"):
        module(p)


def test_variational_dropout_drops_the_same_features_at_all_steps_of_a_sequence():
    torch.manual_seed(0)
    dropped = VariationalDropout(0.5)(torch.ones(200, 7, 5))
    assert (dropped == dropped[:, :1]).all()
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert len(dropped[:, 0].unique(dim=0)) == 2**5
    assert 0.4 < (dropped == 0).float().mean() < 0.6


def test_variational_dropout_does_nothing_in_evaluation_or_at_zero():
    x = torch.randn(2, 3, 4)
    assert torch.equal(VariationalDropout(0.5).eval()(x), x)
    assert torch.equal(VariationalDropout(0.0)(x), x)
