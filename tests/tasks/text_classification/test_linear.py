"""The linear classifier on n-grams."""

import pytest
import torch

from rnn_lab.errors import UserError
from rnn_lab.models import BagOfNgramsClassifier
from rnn_lab.tasks.text_classification.batch import TextBatch

VOCABULARY, BUCKETS = 30, 100_000


def build(**arguments):
    return BagOfNgramsClassifier(VOCABULARY, 3, num_buckets=BUCKETS, **arguments)


def row_of(gram):
    """The row of the weights of an n-gram."""
    hashed = 0
    for token in gram:
        hashed = (hashed + token) * 1_640_531_527 % (2**31 - 1)
    return gram[0] if len(gram) == 1 else VOCABULARY + hashed % BUCKETS


@pytest.mark.parametrize("longest", [1, 2, 3, 4])
def test_features_are_the_distinct_ngrams_of_a_text(longest):
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(1, 6, (20, 9), generator=generator)
    lengths = torch.randint(1, 10, (20,), generator=generator)
    rows = build(ngrams=longest).features(x, lengths)
    for text, length, features in zip(x.tolist(), lengths.tolist(), rows.tolist(), strict=True):
        ends = [(i, i + n) for n in range(1, longest + 1) for i in range(length - n + 1)]
        grams = {tuple(text[start:end]) for start, end in ends}
        assert sorted(row for row in features if row) == sorted(map(row_of, grams))


def test_a_score_is_the_sum_of_the_weights_of_the_ngrams_of_a_text():
    model = build()
    torch.nn.init.normal_(model.weight.weight)
    torch.nn.init.normal_(model.bias)
    x, lengths = torch.tensor([[4, 5, 4, 5, 9], [7, 2, 2, 2, 2]]), torch.tensor([4, 1])
    rows = model.features(x, lengths)
    expected = torch.stack([model.weight.weight[row[row > 0]].sum(0) for row in rows]) + model.bias
    torch.testing.assert_close(model.logits(x, lengths), expected)
    assert (rows > 0).sum(1).tolist() == [4, 1]  # two words and two bigrams; one word


def test_the_order_of_words_matters_to_bigrams_only():
    words, reordered = torch.tensor([[4, 5, 6]]), torch.tensor([[6, 5, 4]])
    unigrams, bigrams = build(ngrams=1), build()
    assert unigrams.features(words).equal(unigrams.features(reordered))
    assert not bigrams.features(words).equal(bigrams.features(reordered))


def test_words_alone_need_no_buckets():
    assert build(ngrams=1).weight.num_embeddings == VOCABULARY


def test_training_from_zero_is_logistic_regression():
    model = build()
    batch = TextBatch(torch.tensor([[4, 5]]), torch.tensor([1]), torch.tensor([2]))
    output = model.step(batch)
    torch.testing.assert_close(output.predictions, torch.full((1, 3), 1 / 3))
    output.loss.backward()
    rows = model.features(batch.tokens).flatten()
    expected = torch.tensor([1 / 3, -2 / 3, 1 / 3]).expand(3, 3)
    torch.testing.assert_close(model.weight.weight.grad[rows], expected)
    assert (model.weight.weight.grad != 0).any(1).sum() == 3


@pytest.mark.parametrize("option", ["ngrams", "num_buckets"])
def test_sizes_below_one_are_refused(option):
    with pytest.raises(UserError, match=f"{option} must be at least 1, got 0"):
        BagOfNgramsClassifier(VOCABULARY, **{option: 0})
