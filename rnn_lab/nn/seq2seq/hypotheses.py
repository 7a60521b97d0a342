"""The state of a search over target sequences: hypotheses of all sources in one batch.

Hypotheses of one source are adjacent rows and share its memory, which is not copied. A source whose
search has ended is removed from the batch; the results of the others do not depend on it.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from rnn_lab.nn.functional.padding import lengths_to_mask
from rnn_lab.special_tokens import BOS_ID, EOS_ID, PAD_ID

CHECK_EVERY = {"cuda": 4}  # steps between checks for ended searches, which synchronize the GPU


class EncoderDecoder(Protocol):
    """Interface of models that can be decoded, such as `Seq2Seq`.

    A state is a tensor or a nested tuple of tensors with the batch on axis 1; a memory is None or
    a nested tuple of tensors and None with the batch on axis 0.
    """

    @property
    def decoder(self) -> Callable[..., tuple[Tensor, Any, Tensor | None]]:
        """Map tokens `(rows, 1)`, a state and a memory to logits, state and attention weights."""

    def encode(self, src: Tensor, lengths: Tensor | None) -> tuple[Any, Any]:
        """Encode sources: the memory prepared for the decoder, and the decoder's initial state."""


Models = EncoderDecoder | Sequence[EncoderDecoder]


class DecodingRules(NamedTuple):
    """Where decoding starts, which tokens it may produce and where it stops.

    Attributes:
        start: Id of the token that is read first.
        end: Id of the token that ends a hypothesis; None: the vocabulary has no such token, and
            every hypothesis has the maximum length unless `stopping` completes it earlier.
        suppressed: Ids that are never produced.
        stopping: Called with the tokens that were just appended, `(batch, hypotheses)`; returns a
            mask of the hypotheses that are complete with them. None: no such criterion.
    """

    start: int = BOS_ID
    end: int | None = EOS_ID
    suppressed: tuple[int, ...] = (PAD_ID, BOS_ID)
    stopping: Callable[[Tensor], Tensor] | None = None


SEQ2SEQ_RULES = DecodingRules()


class Hypothesis(NamedTuple):
    """A decoded sequence.

    Attributes:
        tokens: Token ids without start and end token.
        score: Score by which hypotheses are ranked.
        logprob: Log-probability, end token included.
        attention: Attention weights of each token and the end token, without padding,
            `(len(tokens) + 1, src_len)` on the CPU; None if not requested, or for a model without
            attention.
    """

    tokens: list[int]
    score: float
    logprob: float
    attention: Tensor | None


class Penalties:
    """Length and coverage penalty of Wu et al. (2016), equation 14."""

    def __init__(self, length: float, coverage: float) -> None:
        check_option(length >= 0, "length_penalty must be at least 0", length)
        check_option(coverage >= 0, "coverage_penalty must be at least 0", coverage)
        self.alpha, self.beta = length, coverage

    def length(self, n: Any) -> Any:
        """Return the divisor of the log-probability of `n` tokens."""
        return ((5 + n) / 6) ** self.alpha

    def coverage(self, attended: Tensor, mask: Tensor) -> Tensor:
        """Sum the log of the total attention of each source token, on the last axis."""
        logs = attended.clamp(torch.finfo(attended.dtype).tiny, 1).log()
        return self.beta * logs.masked_fill(~mask, 0).sum(-1)


class Finished(NamedTuple):
    """The best finished hypotheses, each `(batch, slots)`; an empty slot has score -inf."""

    score: Tensor
    logprob: Tensor
    node: Tensor


class HypothesisSearch:
    """Hypotheses of a batch of sources, extended together, the same number for each source.

    Tokens are nodes of a tree, numbered in order of creation and stored with their parents; paths
    are read at the end. Row i of the concatenated weights is the attention after node i.
    """

    def __init__(
        self,
        models: Models,
        src: Tensor,
        lengths: Tensor | None,
        max_length: int | Tensor,
        attention: bool,
        *,
        rules: DecodingRules = SEQ2SEQ_RULES,
        width: int = 1,
        slots: int = 1,
        track_coverage: bool = False,
    ) -> None:
        limits = length_limits(max_length, len(src))
        self.shortest, self.longest = (int(limit) for limit in limits.aminmax())
        self.check_every = CHECK_EVERY.get(src.device.type, 1)
        self.models, self.attention, self.rules = as_models(models), attention, rules
        self.n = 0  # the step: length, end token included, of hypotheses that end there
        self.active = torch.arange(len(src), device=src.device)
        self.memories, states = zip(*(m.encode(src, lengths) for m in self.models), strict=True)
        self.states = select(states, self.active.repeat_interleave(width), 1)
        self.src_lengths: list[int] = source_lengths(src, lengths).tolist()
        self.limits, self.mask = limits.to(src.device), source_mask(src, lengths)
        self.logprob = torch.zeros(len(src), width, device=src.device)
        self.attended = (
            self.logprob.new_zeros(len(src) * width, src.size(1)) if track_coverage else None
        )
        empty = self.logprob.new_full((len(src), slots), -torch.inf)
        self.finished = Finished(empty, empty, torch.zeros_like(empty, dtype=torch.long))
        self.ended: list[tuple[Tensor, Finished]] = []
        self.node = torch.arange(len(src) * width, device=src.device).view(-1, width)
        self.nodes = self.node.numel()
        self.tokens = [torch.full_like(self.node, rules.start).flatten()]
        self.parents = [torch.full_like(self.node, -1).flatten()]
        self.weights: list[Tensor] = []

    def next_step(self) -> bool:
        """Advance to the next step; returns whether any source still needs it."""
        self.n += 1
        steps = self.longest + (self.rules.end is not None)
        return len(self.active) > 0 and self.n <= steps

    def logprobs(self) -> Tensor:
        """Run the decoder; returns log-probabilities of the next token, `(batch, width, vocab)`."""
        calls = zip(self.models, self.states, self.memories, strict=True)
        tokens = self.tokens[-1].unsqueeze(1)
        outputs = [model.decoder(tokens, state, memory) for model, state, memory in calls]
        logits, self.states, weights = zip(*outputs, strict=True)
        self._record_attention(mean_weights(weights))
        logprobs = log_mean([log_softmax(x.squeeze(1), inplace=True) for x in logits])
        logprobs = logprobs.view(*self.node.shape, -1)
        for token in self.rules.suppressed:
            logprobs[..., token] = -torch.inf
        if self.rules.end is not None and self.n > self.shortest:
            others = torch.arange(logprobs.size(2), device=logprobs.device) != self.rules.end
            full = (self.limits < self.n).unsqueeze(1)
            logprobs.masked_fill_((full & others).unsqueeze(1), -torch.inf)
        return logprobs

    def _record_attention(self, weights: Tensor | None) -> None:
        if self.attended is not None:
            self.attended = self.attended + require_weights(weights).squeeze(1)
        if self.attention and weights is not None:
            self.weights.append(weights.squeeze(1))

    def finish(self, complete: Tensor, logprob: Tensor) -> Tensor:
        """Store the hypotheses that are complete, with the log-probability as their score.

        Args:
            complete: Mask of the hypotheses that are complete, `(batch, width)`.
            logprob: Their log-probabilities, `(batch, width)`; -inf for those stored before.

        Returns:
            The log-probabilities of the other hypotheses, -inf for all that are complete.
        """
        new = complete & (self.logprob != -torch.inf)
        candidates = zip((logprob, logprob, self.node), self.finished, strict=True)
        self.finished = Finished(*(torch.where(new, a, b) for a, b in candidates))
        return logprob.masked_fill(complete, -torch.inf)

    def complete(self) -> Tensor:
        """Mask the hypotheses that need no end token after their last one, `(batch, width)`."""
        full = self.limits <= self.n if self.rules.end is None else torch.zeros_like(self.limits)
        complete = full.bool().unsqueeze(1).expand_as(self.node)
        if self.rules.stopping is None:
            return complete
        return complete | self.rules.stopping(self.tokens[-1].view_as(self.node))

    def rank(self, logprob: Tensor, beam: Tensor, penalties: Penalties) -> None:
        """Merge hypotheses that end now, -inf where none does, into the best finished ones."""
        slots = self.finished.score.size(1)
        logprob, beam = logprob[:, :slots], beam[:, :slots]
        score = logprob / penalties.length(self.n)
        if self.attended is not None:
            attended = self.attended.view(*self.node.shape, -1)
            coverage = penalties.coverage(attended, self.mask.unsqueeze(1))
            score = score + coverage.gather(1, beam)
        ending = (score, logprob, self.node.gather(1, beam))
        merged = [torch.cat(pair, 1) for pair in zip(self.finished, ending, strict=True)]
        best = merged[0].topk(slots).indices
        self.finished = Finished(*(part.gather(1, best) for part in merged))

    def extend(
        self, token: Tensor, logprob: Tensor, done: Tensor, beam: Tensor | None = None
    ) -> None:
        """Append the next tokens to the hypotheses in `beam`, for sources that are not done."""
        rows = torch.arange(self.node.numel(), device=token.device).view_as(self.node)
        rows = rows if beam is None else rows[:, :1] + beam
        self.logprob = logprob.masked_fill(done.unsqueeze(1), -torch.inf)
        remaining = self._remove(done) if self.n % self.check_every == 0 else None
        if remaining is not None:
            rows, token = rows[remaining], token[remaining]
            self.logprob = self.logprob[remaining]
        rows = rows.flatten()
        self.tokens.append(token.flatten())
        self.parents.append(self.node.flatten()[rows])
        self.node = self.nodes + torch.arange(token.numel(), device=token.device).view_as(token)
        self.nodes += token.numel()
        if remaining is not None or beam is not None:
            self.states, self.attended = (
                select(self.states, rows, 1),
                select(self.attended, rows, 0),
            )

    def _remove(self, done: Tensor) -> Tensor | None:
        """Remove sources that are done from the batch; returns the others, or None for all."""
        removed = done.nonzero().squeeze(1)
        if not len(removed):
            return None
        self.ended.append((self.active[removed], select(self.finished, removed, 0)))
        remaining = (~done).nonzero().squeeze(1)
        state = (self.memories, self.active, self.limits, self.mask, self.finished)
        state = select(state, remaining, 0)
        self.memories, self.active, self.limits, self.mask, self.finished = state
        return remaining

    def results(self, n_best: int) -> list[list[Hypothesis]]:
        """Return at most `n_best` finished hypotheses for each source."""
        self._remove(torch.ones_like(self.active, dtype=torch.bool))
        sources, finished = zip(*self.ended, strict=True)
        order = torch.cat(sources).argsort()
        slots = [torch.cat(part)[order, :n_best].tolist() for part in zip(*finished, strict=True)]
        tokens, parents = torch.cat(self.tokens).tolist(), torch.cat(self.parents).tolist()
        weights = torch.cat(self.weights).cpu() if self.weights else None
        results: list[list[Hypothesis]] = []
        for *row, size in zip(*slots, self.src_lengths, strict=True):
            results.append([])
            for score, logprob, node in zip(*row, strict=True):
                if score > -torch.inf:
                    path = _path(node, parents)
                    attention = None if weights is None else weights[path, :size]
                    ids = [tokens[i] for i in path[1:]]
                    results[-1].append(Hypothesis(ids, score, logprob, attention))
        if not all(results):
            raise ValueError("decoding failed: the model's logits are not finite")
        return results


def log_softmax(logits: Tensor, inplace: bool = False) -> Tensor:
    """Compute log-probabilities in full precision, optionally in place to save memory."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return torch.log_softmax(logits, -1, out=logits if inplace else None)


def log_mean(logprobs: Sequence[Tensor]) -> Tensor:
    """Compute the log of the models' mean probabilities."""
    if len(logprobs) == 1:
        return logprobs[0]
    return torch.stack(list(logprobs)).logsumexp(0) - math.log(len(logprobs))


def mean_weights(weights: Sequence[Tensor | None]) -> Tensor | None:
    """Average the attention weights of the models that have attention."""
    present = [each for each in weights if each is not None]
    return torch.stack(present).mean(0) if len(present) > 1 else present[0] if present else None


def require_weights(weights: Tensor | None) -> Tensor:
    if weights is None:
        raise ValueError("coverage_penalty must be 0 for a model without attention")
    return weights


def select(tree: Any, index: Tensor, axis: int) -> Any:
    """Select from all tensors of a nested tuple."""
    if tree is None:
        return None
    if isinstance(tree, Tensor):
        return tree.index_select(axis, index.to(tree.device))
    parts = [select(part, index, axis) for part in tree]
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)


def _path(node: int, parents: list[int]) -> list[int]:
    """Return the nodes from the root to a node."""
    path = []
    while node >= 0:
        path.append(node)
        node = parents[node]
    return path[::-1]


def as_models(models: Models) -> list[EncoderDecoder]:
    models = list(models) if isinstance(models, Sequence) else [models]
    check_option(len(models) >= 1, "models must be at least one", len(models))
    return models


def length_limits(max_length: int | Tensor, batch: int) -> Tensor:
    limits = torch.as_tensor(max_length, dtype=torch.long, device="cpu")
    shape = tuple(limits.shape)
    check_option(
        shape in ((), (batch,)), f"max_length must be a number or have shape ({batch},)", shape
    )
    check_option(int(limits.min()) >= 1, "max_length must be at least 1", int(limits.min()))
    return limits.expand(batch)


def source_lengths(src: Tensor, lengths: Tensor | None) -> Tensor:
    return torch.full((len(src),), src.size(1)) if lengths is None else lengths


def source_mask(src: Tensor, lengths: Tensor | None) -> Tensor:
    return lengths_to_mask(source_lengths(src, lengths), src.size(1), src.device)


def check_option(valid: bool, requirement: str, value: object) -> None:
    """Raise a ValueError with requirement and value if an option is not valid."""
    if not valid:
        raise ValueError(f"{requirement}, got {value}")
