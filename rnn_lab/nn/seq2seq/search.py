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
    """Take the likeliest token at every step.

    Args:
        models: A model, or several whose probabilities are averaged at every step.
        src: Source ids, `(batch, src_len)`.
        lengths: Real tokens of each source, `(batch,)` int64 on the CPU; None: all are full.
        max_length: Tokens at most, without the end, which then is forced: a number or `(batch,)`.
        attention: Whether to keep where the model looked.
        rules: First token, end token, suppressed tokens and stopping criterion.

    Returns:
        A hypothesis for each source; its score is the log-probability.

    Raises:
        ValueError: If `max_length` is below 1.
    """
    search = HypothesisSearch(models, src, lengths, max_length, attention, rules=rules)
    return [only for (only,) in _walk(search, lambda logprobs: logprobs.argmax(1))]


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
    samples: int = 1,
    attention: bool = False,
    generator: torch.Generator | None = None,
    rules: DecodingRules = SEQ2SEQ_RULES,
) -> list[list[Hypothesis]]:
    """Draw every token by its probability.

    Args:
        models: A model, or several whose probabilities are averaged at every step.
        src: Source ids, `(batch, src_len)`.
        lengths: Real tokens of each source, `(batch,)` int64 on the CPU; None: all are full.
        max_length: Tokens at most, without the end, which then is forced: a number or `(batch,)`.
        temperature: Divides the logits: below 1 what is likely becomes likelier still.
        top_k: Draw from so many of the likeliest tokens.
        top_p: Draw from the fewest of the likeliest tokens that together are so probable.
        samples: Hypotheses for each source.
        attention: Whether to keep where the model looked.
        generator: Where chance comes from, on the model's device; None: torch's own.
        rules: First token, end token, suppressed tokens and stopping criterion.

    Returns:
        For each source its `samples` hypotheses in the order drawn; their score is the
        log-probability that the model itself gives them.

    Raises:
        ValueError: If a number is out of its range.
    """
    check_option(temperature > 0, "temperature must be above 0", temperature)
    check_option(top_k is None or top_k >= 1, "top_k must be at least 1", top_k)
    check_option(top_p is None or 0 < top_p <= 1, "top_p must be above 0 and at most 1", top_p)
    check_option(samples >= 1, "samples must be at least 1", samples)
    search = HypothesisSearch(
        models, src, lengths, max_length, attention, rules=rules, width=samples, slots=samples
    )
    return _walk(search, lambda logprobs: draw(logprobs, temperature, top_k, top_p, generator))


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
    """Go on, at every step, with the likeliest `beam_size` beginnings.

    What ends while it is among the likeliest `beam_size` has finished. A sentence is done when so
    many have finished, or when no beginning can overtake the finished ones any more.

    Source: Wu et al. (2016), https://arxiv.org/abs/1609.08144, section 7, for the score.

    Args:
        models: A model, or several whose probabilities are averaged at every step.
        src: Source ids, `(batch, src_len)`.
        lengths: Real tokens of each source, `(batch,)` int64 on the CPU; None: all are full.
        max_length: Tokens at most, without the end, which then is forced: a number or `(batch,)`.
        beam_size: Beginnings of each source to go on with.
        length_penalty: The log-probability of n tokens, end included, is divided by `((5 + n) / 6)`
            to this power; 0 prefers short translations.
        coverage_penalty: Weight of what a score loses for source tokens that were hardly looked at.
        n_best: Hypotheses for each source, at most `beam_size`.
        attention: Whether to keep where the model looked.

    Returns:
        For each source the best `n_best` hypotheses, best first; fewer if no more have finished.

    Raises:
        ValueError: If a number is out of its range, or if coverage counts and no model looks.
    """
    check_option(beam_size >= 1, "beam_size must be at least 1", beam_size)
    check_option(
        1 <= n_best <= beam_size, f"n_best must be from 1 to beam_size ({beam_size})", n_best
    )
    penalties = Penalties(length_penalty, coverage_penalty)
    search = HypothesisSearch(
        models, src, lengths, max_length, attention, slots=beam_size, cover=coverage_penalty > 0
    )
    while search.goes_on():
        total = search.logprobs().add_(search.logprob.unsqueeze(2))
        candidates = min(2 * beam_size, total[0].numel())
        logprob, candidate = _topk(total.flatten(1), candidates)
        beam, token = candidate // total.size(2), candidate % total.size(2)
        ended = token == EOS_ID
        search.rank(logprob.masked_fill(~ended, -torch.inf), beam, penalties)
        alive = logprob.masked_fill(ended, -torch.inf)
        logprob, alive = alive.topk(min(beam_size, candidates))
        reach = logprob[:, 0] / penalties.length(search.limits.to(logprob) + 1)
        done = search.finished.score[:, n_best - 1] >= reach
        done |= search.finished.score[:, -1] != -torch.inf
        search.grow(token.gather(1, alive), logprob, done, beam.gather(1, alive))
    return search.read(n_best)


def _walk(search: HypothesisSearch, choose: Callable[[Tensor], Tensor]) -> list[list[Hypothesis]]:
    """Extend every hypothesis on its own by the tokens that are chosen."""
    rules = search.rules
    while search.goes_on():
        logprobs = search.logprobs()
        token = choose(logprobs.flatten(0, 1)).view_as(search.node)
        logprob = search.logprob + logprobs.gather(2, token.unsqueeze(2)).squeeze(2)
        if rules.end is not None:
            logprob = search.finish(token == rules.end, logprob)
        search.grow(token, logprob, done=(logprob == -torch.inf).all(1))
        if len(search.sentences) and (rules.end is None or rules.stopping is not None):
            search.logprob = search.finish(search.complete(), search.logprob)
    return search.read(search.node.size(1))


def draw(
    logprobs: Tensor,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    generator: torch.Generator | None,
) -> Tensor:
    """Draw a token for each row by one number of chance each.

    Args:
        logprobs: Log-probabilities, `(rows, vocab)`.
        temperature: Below 1 what is likely becomes likelier.
        top_k: Draw from so many of the likeliest; None: from all.
        top_p: Draw from the fewest that are so probable together; None: from all.
        generator: Where chance comes from; None: torch's own.

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
    ends = probs.cumsum(1)
    end = ends[:, -1:]
    chance = torch.rand(end.shape, generator=generator, dtype=end.dtype, device=end.device)
    point = torch.minimum(chance * end, end.nextafter(torch.zeros_like(end)))  # never the very end
    drawn = torch.searchsorted(ends, point, right=True)
    return drawn if index is None else index.gather(1, drawn)


def _topk(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the `k` greatest of each row of `(rows, size)`, and where they stand.

    They lie in the `k` blocks of greatest maximum; on a CPU these are found several times faster.
    """
    rows, size = values.shape
    block = next((n for n in range(128, 15, -1) if size % n == 0), size)
    if values.device.type != "cpu" or size // block < 4 * k:
        return values.topk(k)
    blocks = values.view(rows, -1, block)
    which = blocks.amax(2).topk(k).indices
    chosen = blocks.gather(1, which.unsqueeze(2).expand(-1, -1, block)).flatten(1)
    found, place = chosen.topk(k)
    return found, which.gather(1, place // block) * block + place % block
