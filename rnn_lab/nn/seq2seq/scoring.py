"""Score reference target sequences with a sequence-to-sequence model."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rnn_lab.nn.functional.padding import lengths_to_mask
from rnn_lab.nn.seq2seq.hypotheses import (
    EncoderDecoder,
    Hypothesis,
    Models,
    Penalties,
    as_models,
    log_mean,
    log_softmax,
    mean_weights,
    require_weights,
    source_lengths,
    source_mask,
)


@torch.no_grad()
def score_references(
    models: Models,
    src: Tensor,
    trg: Tensor,
    src_lengths: Tensor | None,
    trg_lengths: Tensor,
    *,
    length_penalty: float = 1.0,
    coverage_penalty: float = 0.0,
    attention: bool = False,
) -> list[Hypothesis]:
    """Score reference translations as `beam_search` scores hypotheses, all steps in one call.

    Args:
        models: A model, or an ensemble whose probabilities are averaged at every step.
        src: Source ids, `(batch, src_len)`.
        trg: Target ids with start and end token, `(batch, trg_len)`.
        src_lengths: Real tokens of each source, `(batch,)` int64 on the CPU; None if every row is
            full.
        trg_lengths: Real tokens of each target, start and end token included, `(batch,)` on the
            CPU.
        length_penalty: As in `beam_search`.
        coverage_penalty: As in `beam_search`.
        attention: If True, return attention weights.

    Returns:
        The targets as hypotheses.

    Raises:
        ValueError: If a penalty is below 0, or `coverage_penalty` is set and no model has
            attention.
    """
    penalties = Penalties(length_penalty, coverage_penalty)
    steps = trg_lengths - 1
    real = lengths_to_mask(steps, trg.size(1) - 1, trg.device)
    logprobs, weights = _teacher_forced(as_models(models), src, trg, src_lengths)
    logprob = logprobs.masked_fill(~real, 0).sum(1)
    score = logprob / penalties.length(steps.to(logprob))
    if coverage_penalty > 0:
        attended = (require_weights(weights) * real.unsqueeze(2)).sum(1)
        score = score + penalties.coverage(attended, source_mask(src, src_lengths))
    tokens = [row[1:n] for row, n in zip(trg.tolist(), steps.tolist(), strict=True)]
    maps: list[Tensor | None] = [None] * len(tokens)
    if attention and weights is not None:
        sizes = source_lengths(src, src_lengths).tolist()
        rows = zip(weights.cpu(), steps.tolist(), sizes, strict=True)
        maps = [row[:n, :size].clone() for row, n, size in rows]
    return list(map(Hypothesis, tokens, score.tolist(), logprob.tolist(), maps))


def _teacher_forced(
    models: Sequence[EncoderDecoder], src: Tensor, trg: Tensor, lengths: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Return the log-probability of every next token, and the attention weights."""
    logprobs, weights = [], []
    for model in models:
        memory, state = model.encode(src, lengths)
        logits, _, attended = model.decoder(trg[:, :-1], state, memory)
        logprobs.append(log_softmax(logits).gather(2, trg[:, 1:].unsqueeze(2)).squeeze(2))
        weights.append(attended)
    return log_mean(logprobs), mean_weights(weights)
