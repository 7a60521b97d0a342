"""Decode a sequence-to-sequence model: greedily, by beam search or by sampling."""

from collections.abc import Callable

import torch
from torch import Tensor

from rnn_lab.nn.seq2seq.hypotheses import (
    SEQ2SEQ_RULES,
    DecodingRules,
    Hypothesis,
    HypothesisSearch,
    Models,
    Penalties,
    check_option,
)
from rnn_lab.special_tokens import EOS_ID


@torch.no_grad()
def greedy_decode(
    models: Models,
    src: Tensor,
    lengths: Tensor | None,
    *,
    max_length: int | Tensor,
    attention: bool = False,
    rules: DecodingRules = SEQ2SEQ_RULES,
) -> list[Hypothesis]:
    """Decode greedily: take the most likely token at every step.

    Args:
        models: A model, or an ensemble whose probabilities are averaged at every step.
        src: Source ids, `(batch, src_len)`.
        lengths: Real tokens of each source, `(batch,)` int64 on the CPU; None if every row is
            full.
        max_length: Maximum number of tokens, after which the end token is forced, not counted:
            a number or `(batch,)`.
        attention: If True, return attention weights.
        rules: First token, end token, suppressed tokens and stopping criterion.

    Returns:
        A hypothesis for each source; its score is the log-probability.

    Raises:
        ValueError: If `max_length` is below 1.
    """
    search = HypothesisSearch(models, src, lengths, max_length, attention, rules=rules)
    return [best for (best,) in _decode(search, lambda logprobs: logprobs.argmax(1))]


@torch.no_grad()
def sample_decode(
    models: Models,
    src: Tensor,
    lengths: Tensor | None,
    *,
    max_length: int | Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    num_samples: int = 1,
    attention: bool = False,
    generator: torch.Generator | None = None,
    rules: DecodingRules = SEQ2SEQ_RULES,
) -> list[list[Hypothesis]]:
    """Sample every token from the model's distribution.

    Args:
        models: A model, or an ensemble whose probabilities are averaged at every step.
        src: Source ids, `(batch, src_len)`.
        lengths: Real tokens of each source, `(batch,)` int64 on the CPU; None if every row is
            full.
        max_length: Maximum number of tokens, after which the end token is forced, not counted:
            a number or `(batch,)`.
        temperature: Divisor of the logits; below 1 the distribution is sharper.
        top_k: Sample from the k most likely tokens; None for all.
        top_p: Nucleus sampling: sample from the smallest set of tokens whose cumulative
            probability is at least p; None for all.
        num_samples: Hypotheses for each source.
        attention: If True, return attention weights.
        generator: Random generator on the model's device; None: torch's default.
        rules: First token, end token, suppressed tokens and stopping criterion.

    Returns:
        For each source `num_samples` hypotheses in the order sampled; their score is their
        log-probability at temperature 1.

    Raises:
        ValueError: If an option is out of its range.
    """
    check_option(temperature > 0, "temperature must be above 0", temperature)
    check_option(top_k is None or top_k >= 1, "top_k must be at least 1", top_k)
    check_option(top_p is None or 0 < top_p <= 1, "top_p must be above 0 and at most 1", top_p)
    check_option(num_samples >= 1, "num_samples must be at least 1", num_samples)
    search = HypothesisSearch(
        models,
        src,
        lengths,
        max_length,
        attention,
        rules=rules,
        width=num_samples,
        slots=num_samples,
    )
    return _decode(search, lambda logprobs: sample(logprobs, temperature, top_k, top_p, generator))


@torch.no_grad()
def beam_search(
    models: Models,
    src: Tensor,
    lengths: Tensor | None,
    *,
    beam_size: int = 5,
    max_length: int | Tensor,
    length_penalty: float = 1.0,
    coverage_penalty: float = 0.0,
    n_best: int = 1,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """Decode by beam search: extend the `beam_size` most likely prefixes at every step.

    A hypothesis finishes if it ends while it is among the `beam_size` most likely ones. The search
    of a source ends when `beam_size` hypotheses have finished, or when no prefix can reach a
    better score than the finished ones.

    Source: Wu et al. (2016), https://arxiv.org/abs/1609.08144, section 7, for the score.

    Args:
        models: A model, or an ensemble whose probabilities are averaged at every step.
        src: Source ids, `(batch, src_len)`.
        lengths: Real tokens of each source, `(batch,)` int64 on the CPU; None if every row is
            full.
        max_length: Maximum number of tokens, after which the end token is forced, not counted:
            a number or `(batch,)`.
        beam_size: Beam width: prefixes of each source.
        length_penalty: Exponent of `(5 + n) / 6`, by which the log-probability of n tokens, end
            token included, is divided; 0 favors short hypotheses.
        coverage_penalty: Weight of the coverage penalty, for source tokens with little attention.
        n_best: Hypotheses for each source, at most `beam_size`.
        attention: If True, return attention weights.

    Returns:
        For each source the best `n_best` hypotheses, best first; fewer if no more have finished.

    Raises:
        ValueError: If an option is out of its range, or `coverage_penalty` is set and no model
            has attention.
    """
    check_option(beam_size >= 1, "beam_size must be at least 1", beam_size)
    check_option(
        1 <= n_best <= beam_size, f"n_best must be from 1 to beam_size ({beam_size})", n_best
    )
    penalties = Penalties(length_penalty, coverage_penalty)
    search = HypothesisSearch(
        models,
        src,
        lengths,
        max_length,
        attention,
        slots=beam_size,
        track_coverage=coverage_penalty > 0,
    )
    while search.next_step():
        total = search.logprobs().add_(search.logprob.unsqueeze(2))
        candidates = min(2 * beam_size, total[0].numel())
        logprob, candidate = _topk(total.flatten(1), candidates)
        beam, token = candidate // total.size(2), candidate % total.size(2)
        ended = token == EOS_ID
        search.rank(logprob.masked_fill(~ended, -torch.inf), beam, penalties)
        alive = logprob.masked_fill(ended, -torch.inf)
        logprob, alive = alive.topk(min(beam_size, candidates))
        attainable = logprob[:, 0] / penalties.length(search.limits.to(logprob) + 1)
        done = search.finished.score[:, n_best - 1] >= attainable
        done |= search.finished.score[:, -1] != -torch.inf
        search.extend(token.gather(1, alive), logprob, done, beam.gather(1, alive))
    return search.results(n_best)


def _decode(search: HypothesisSearch, choose: Callable[[Tensor], Tensor]) -> list[list[Hypothesis]]:
    """Extend every hypothesis independently by the token that `choose` returns."""
    rules = search.rules
    while search.next_step():
        logprobs = search.logprobs()
        token = choose(logprobs.flatten(0, 1)).view_as(search.node)
        logprob = search.logprob + logprobs.gather(2, token.unsqueeze(2)).squeeze(2)
        if rules.end is not None:
            logprob = search.finish(token == rules.end, logprob)
        search.extend(token, logprob, done=(logprob == -torch.inf).all(1))
        if len(search.active) and (rules.end is None or rules.stopping is not None):
            search.logprob = search.finish(search.complete(), search.logprob)
    return search.results(search.node.size(1))


def sample(
    logprobs: Tensor,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    generator: torch.Generator | None,
) -> Tensor:
    """Sample a token for each row with one random number each.

    Args:
        logprobs: Log-probabilities, `(rows, vocab)`.
        temperature: Divisor of the logits.
        top_k: Sample from the k most likely tokens; None for all.
        top_p: Nucleus sampling, see `sample_decode`; None for all.
        generator: Random generator; None: torch's default.

    Returns:
        Tokens, `(rows, 1)`.
    """
    index = None
    if top_k is not None or top_p is not None:
        vocab = logprobs.size(1)
        logprobs, index = logprobs.topk(vocab if top_k is None else min(top_k, vocab))
    probs = ((logprobs - logprobs.amax(1, keepdim=True)) / temperature).softmax(1)
    if top_p is not None:
        probs = probs.masked_fill(probs.cumsum(1) - probs >= top_p, 0)
    cumulative = probs.cumsum(1)
    total = cumulative[:, -1:]
    uniform = torch.rand(total.shape, generator=generator, dtype=total.dtype, device=total.device)
    # Rounding must not reach the total, which would select a token of probability zero.
    threshold = torch.minimum(uniform * total, total.nextafter(torch.zeros_like(total)))
    sampled = torch.searchsorted(cumulative, threshold, right=True)
    return sampled if index is None else index.gather(1, sampled)


def _topk(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the `k` largest values of each row of `(rows, size)` and their indices.

    They are in the `k` blocks with the largest maxima; on a CPU searching these is several times
    faster.
    """
    rows, size = values.shape
    block = next((n for n in range(128, 15, -1) if size % n == 0), size)
    if values.device.type != "cpu" or size // block < 4 * k:
        return values.topk(k)
    blocks = values.view(rows, -1, block)
    block_index = blocks.amax(2).topk(k).indices
    candidates = blocks.gather(1, block_index.unsqueeze(2).expand(-1, -1, block)).flatten(1)
    top, index = candidates.topk(k)
    return top, block_index.gather(1, index // block) * block + index % block
