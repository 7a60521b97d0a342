"""Hashed n-grams."""

import math

import pytest
import torch

from rnn_lab.nn.functional.ngrams import hash_ngrams


def test_hashes_are_the_polynomial_of_the_ids_modulo_the_prime():
    ids = [29_999, 7, 123_456, 2**31 - 2]
    expected = 0
    for token in ids:
        expected = (expected + token) * 1_640_531_527 % (2**31 - 1)
    assert hash_ngrams(torch.tensor([ids]), 4, 997).tolist() == [[expected % 997]]


@pytest.mark.parametrize("num_buckets", [2**20, 1_000_000, 1_640_531])
def test_few_different_ngrams_share_a_bucket(num_buckets):
    tokens = torch.cartesian_prod(torch.arange(300), torch.arange(300))
    buckets = hash_ngrams(tokens, 2, num_buckets)
    uniform = num_buckets * -math.expm1(-90_000 / num_buckets)
    assert buckets.unique().numel() > 0.99 * uniform
    assert buckets.min() >= 0
    assert buckets.max() < num_buckets


def test_a_text_shorter_than_an_ngram_has_none():
    assert hash_ngrams(torch.tensor([[4, 5]]), 3, 10).shape == (1, 0)
