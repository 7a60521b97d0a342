"""Attention between whole words, from the attention between their subwords."""

from collections.abc import Sequence

import torch
from torch import Tensor


def join_subwords(weights: Tensor, source: Sequence[int], target: Sequence[int]) -> Tensor:
    """Add up the attention to the subwords of a word, and average that of its subwords.

    The weights of each target word still add up to those of its subwords on average.

    Source: Clark et al. (2019), https://arxiv.org/abs/1906.04341, section 4.1.

    Args:
        weights: Attention weights, `(steps, time)`: a row for each subword of the target.
        source: Position of the first subword of each source word, ascending from 0.
        target: Position of the first subword of each target word, ascending from 0.

    Returns:
        Attention weights, `(target words, source words)`.
    """
    steps, time = weights.shape
    columns = _indicators(source, time).to(weights)
    rows = _indicators(target, steps).to(weights)
    return rows @ weights @ columns.T / rows.sum(1, keepdim=True)


def _indicators(starts: Sequence[int], size: int) -> Tensor:
    """Return ones where a token belongs to a word, `(words, tokens)`."""
    firsts = torch.zeros(size, dtype=torch.long)
    firsts[list(starts)] = 1
    return (firsts.cumsum(0) - 1 == torch.arange(len(starts))[:, None]).float()
