"""Scores of reference translations."""

import pytest
import torch
from decodable_models import (
    LENGTHS,
    MAX_LENGTH,
    NO_ATTENTION,
    assert_close,
    build,
    every_model,
    score,
    sources,
)

from rnn_lab.nn.seq2seq.search import beam_search


@every_model
@pytest.mark.parametrize("count", [1, 2])
def test_reference_scores_equal_the_scores_of_beam_search(name: str, count: int) -> None:
    models, src = [build(name, seed=seed) for seed in range(count)], sources()
    options = {"attention": True, "coverage_penalty": 0.0 if name in NO_ATTENTION else 0.3}
    decoded = beam_search(
        models, src, LENGTHS, max_length=MAX_LENGTH, beam_size=4, n_best=4, **options
    )
    for rank in range(4):
        hypotheses = [row[rank] for row in decoded]
        tokens = [hypothesis.tokens for hypothesis in hypotheses]
        assert_close(hypotheses, score(models, src, LENGTHS, tokens, **options))


@every_model
def test_an_ensemble_averages_probabilities(name: str) -> None:
    models, src = [build(name, seed=seed) for seed in range(3)], sources()
    empty: list[list[int]] = [[]] * len(src)
    each = [[h.logprob for h in score(model, src, LENGTHS, empty)] for model in models]
    together = [h.logprob for h in score(models, src, LENGTHS, empty)]
    expected = torch.tensor(each, dtype=torch.double).exp().mean(0).log()
    torch.testing.assert_close(torch.tensor(together, dtype=torch.double), expected)
