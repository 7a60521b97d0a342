"""Hashed n-grams of token ids."""

import torch
from torch import Tensor

PRIME = 2**31 - 1  # hashes are below it, so that a product with the factor fits into 64 bits
FACTOR = 1_640_531_527  # large, so that similar n-grams are far apart


def hash_ngrams(tokens: Tensor, n: int, num_buckets: int) -> Tensor:
    """Hash each n-gram of token ids into a bucket, by a polynomial of its ids modulo a prime.

    Args:
        tokens: Token ids, `(batch, time)` int64.
        n: Tokens per n-gram.
        num_buckets: Number of buckets.

    Returns:
        The bucket of the n-gram that begins at each step, `(batch, time - n + 1)` int64, from 0 to
        `num_buckets - 1`; without steps if the texts are shorter.

    Example:
        >>> hash_ngrams(torch.tensor([[5, 6, 5, 6]]), 2, 1000)
        tensor([[445, 798, 445]])
    """
    steps = max(0, tokens.size(1) - n + 1)
    hashed = torch.zeros_like(tokens[:, :steps])
    for i in range(n):
        hashed = (hashed + tokens[:, i : i + steps]) * FACTOR % PRIME
    return hashed % num_buckets
