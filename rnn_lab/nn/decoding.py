"""From a model to text: greedily, by beam search or by sampling; and the scores of given text.

All hypotheses of all sentences take their steps together. Those of one sentence are neighbours and
look at one memory, which is not copied. A sentence that is done leaves the batch, and what becomes
of the others does not hang on it.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from rnn_lab.nn.pooling import lengths_to_mask

PAD_ID, BOS_ID, EOS_ID = 0, 2, 3
LOOK_EVERY = {"cuda": 4}  # steps until it is asked who is done: the answer has to wait for the GPU


class EncoderDecoder(Protocol):
    """What can be decoded: `Seq2Seq`, or whatever keeps its contract.

    A state is a tensor or a nested tuple of tensors with the batch on axis 1; a memory is None or
    a nested tuple of tensors and None with the batch on axis 0.
    """

    @property
    def decoder(self) -> Callable[..., tuple[Tensor, Any, Tensor | None]]:
        """Called with tokens `(rows, 1)`, a state and a memory: logits, state and weights."""

    def encode(self, src: Tensor, lengths: Tensor | None) -> tuple[Any, Any]:
        """Read sources: the memory, ready for the decoder, and the decoder's first state."""


Models = EncoderDecoder | Sequence[EncoderDecoder]


class Hypothesis(NamedTuple):
    """A translation.

    Attributes:
        tokens: Its ids, without the marks of begin and end.
        score: What it is ranked by.
        logprob: Logarithm of its probability, end included.
        attention: Where the model looked for each token and for the end, without padding,
            `(len(tokens) + 1, src_len)` on the CPU; None if not asked for or if it does not look.
    """

    tokens: list[int]
    score: float
    logprob: float
    attention: Tensor | None


@torch.no_grad()
def greedy_decode(
    models: Models,
    src: Tensor,
    lengths: Tensor | None,
    *,
    max_length: int | Tensor,
    attention: bool = False,
) -> list[Hypothesis]:
    """Take the likeliest token at every step.

    Args:
        models: A model, or several whose probabilities are averaged at every step.
        src: Source ids, `(batch, src_len)`.
        lengths: Real tokens of each source, `(batch,)` int64 on the CPU; None: all are full.
        max_length: Tokens at most, without the end, which then is forced: a number or `(batch,)`.
        attention: Whether to keep where the model looked.

    Returns:
        A hypothesis for each source; its score is the log-probability.

    Raises:
        ValueError: If `max_length` is below 1.
    """
    search = _Search(models, src, lengths, max_length, attention)
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

    Returns:
        For each source its `samples` hypotheses in the order drawn; their score is the
        log-probability that the model itself gives them.

    Raises:
        ValueError: If a number is out of its range.
    """
    _check(temperature > 0, "temperature must be above 0", temperature)
    _check(top_k is None or top_k >= 1, "top_k must be at least 1", top_k)
    _check(top_p is None or 0 < top_p <= 1, "top_p must be above 0 and at most 1", top_p)
    _check(samples >= 1, "samples must be at least 1", samples)
    search = _Search(models, src, lengths, max_length, attention, width=samples, slots=samples)
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
    _check(beam_size >= 1, "beam_size must be at least 1", beam_size)
    _check(1 <= n_best <= beam_size, f"n_best must be from 1 to beam_size ({beam_size})", n_best)
    penalties = _Penalties(length_penalty, coverage_penalty)
    search = _Search(
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
    """Score given translations as `beam_search` scores its own, all steps in one call.

    Args:
        models: A model, or several whose probabilities are averaged at every step.
        src: Source ids, `(batch, src_len)`.
        trg: Target ids with begin and end, `(batch, trg_len)`.
        src_lengths: Real tokens of each source, `(batch,)` int64 on the CPU; None: all are full.
        trg_lengths: Real tokens of each target, begin and end included, `(batch,)` on the CPU.
        length_penalty: As in `beam_search`.
        coverage_penalty: As in `beam_search`.
        attention: Whether to keep where the model looked.

    Returns:
        The targets as hypotheses.

    Raises:
        ValueError: If a penalty is below 0, or if coverage counts and no model looks.
    """
    penalties = _Penalties(length_penalty, coverage_penalty)
    steps = trg_lengths - 1
    real = lengths_to_mask(steps, trg.size(1) - 1, trg.device)
    logprobs, weights = _forced(_listed(models), src, trg, src_lengths)
    logprob = logprobs.masked_fill(~real, 0).sum(1)
    score = logprob / penalties.length(steps.to(logprob))
    if coverage_penalty > 0:
        looked = (_required(weights) * real.unsqueeze(2)).sum(1)
        score = score + penalties.coverage(looked, _source_mask(src, src_lengths))
    tokens = [row[1:n] for row, n in zip(trg.tolist(), steps.tolist(), strict=True)]
    maps: list[Tensor | None] = [None] * len(tokens)
    if attention and weights is not None:
        sizes = _source_lengths(src, src_lengths).tolist()
        rows = zip(weights.cpu(), steps.tolist(), sizes, strict=True)
        maps = [row[:n, :size].clone() for row, n, size in rows]
    return list(map(Hypothesis, tokens, score.tolist(), logprob.tolist(), maps))


class _Penalties:
    """Makes scores of log-probabilities."""

    def __init__(self, length: float, coverage: float) -> None:
        _check(length >= 0, "length_penalty must be at least 0", length)
        _check(coverage >= 0, "coverage_penalty must be at least 0", coverage)
        self.alpha, self.beta = length, coverage

    def length(self, n: Any) -> Any:
        return ((5 + n) / 6) ** self.alpha

    def coverage(self, looked: Tensor, mask: Tensor) -> Tensor:
        """Add up over source tokens, the last axis, how far each was looked at in all."""
        logs = looked.clamp(torch.finfo(looked.dtype).tiny, 1).log()
        return self.beta * logs.masked_fill(~mask, 0).sum(-1)


class _Finished(NamedTuple):
    """The best that has ended, each `(sentences, slots)`; an empty slot has score -inf."""

    score: Tensor
    logprob: Tensor
    node: Tensor


class _Search:
    """Hypotheses that grow together, equally many for each sentence.

    Tokens are nodes of a tree, numbered as they come, that know their parents; it is read when all
    is over. Row i of the weights, put together, is where the model looked after node i.
    """

    def __init__(
        self,
        models: Models,
        src: Tensor,
        lengths: Tensor | None,
        max_length: int | Tensor,
        attention: bool,
        *,
        width: int = 1,
        slots: int = 1,
        cover: bool = False,
    ) -> None:
        limits = _limits(max_length, len(src))
        self.shortest, self.longest = (int(limit) for limit in limits.aminmax())
        self.look_every = LOOK_EVERY.get(src.device.type, 1)
        self.models, self.attention = _listed(models), attention
        self.n = 0  # the step: tokens, end included, of what ends there
        self.sentences = torch.arange(len(src), device=src.device)
        self.memories, states = zip(*(m.encode(src, lengths) for m in self.models), strict=True)
        self.states = _take(states, self.sentences.repeat_interleave(width), 1)
        self.sources: list[int] = _source_lengths(src, lengths).tolist()
        self.limits, self.mask = limits.to(src.device), _source_mask(src, lengths)
        self.logprob = torch.zeros(len(src), width, device=src.device)
        self.looked = self.logprob.new_zeros(len(src) * width, src.size(1)) if cover else None
        empty = self.logprob.new_full((len(src), slots), -torch.inf)
        self.finished = _Finished(empty, empty, torch.zeros_like(empty, dtype=torch.long))
        self.left: list[tuple[Tensor, _Finished]] = []
        self.node = torch.arange(len(src) * width, device=src.device).view(-1, width)
        self.nodes = self.node.numel()
        self.tokens = [torch.full_like(self.node, BOS_ID).flatten()]
        self.parents = [torch.full_like(self.node, -1).flatten()]
        self.weights: list[Tensor] = []

    def goes_on(self) -> bool:
        """Begin the next step, if a sentence is left and may grow."""
        self.n += 1
        return len(self.sentences) > 0 and self.n <= self.longest + 1

    def logprobs(self) -> Tensor:
        """Read the last tokens: log-probabilities of the next, `(sentences, width, vocab)`."""
        calls = zip(self.models, self.states, self.memories, strict=True)
        tokens = self.tokens[-1].unsqueeze(1)
        outputs = [model.decoder(tokens, state, memory) for model, state, memory in calls]
        logits, self.states, weights = zip(*outputs, strict=True)
        self._look(_mean_weights(weights))
        logprobs = _log_mean([_log_softmax(x.squeeze(1), over=True) for x in logits])
        logprobs = logprobs.view(*self.node.shape, -1)
        logprobs[..., PAD_ID] = logprobs[..., BOS_ID] = -torch.inf
        if self.n > self.shortest:
            others = torch.arange(logprobs.size(2), device=logprobs.device) != EOS_ID
            full = (self.limits < self.n).unsqueeze(1)
            logprobs.masked_fill_((full & others).unsqueeze(1), -torch.inf)
        return logprobs

    def _look(self, weights: Tensor | None) -> None:
        if self.looked is not None:
            self.looked = self.looked + _required(weights).squeeze(1)
        if self.attention and weights is not None:
            self.weights.append(weights.squeeze(1))

    def rank(self, logprob: Tensor, beam: Tensor, penalties: _Penalties) -> None:
        """Put what ends now, -inf where nothing does, among the best that have finished."""
        slots = self.finished.score.size(1)
        logprob, beam = logprob[:, :slots], beam[:, :slots]
        score = logprob / penalties.length(self.n)
        if self.looked is not None:
            looked = self.looked.view(*self.node.shape, -1)
            score = score + penalties.coverage(looked, self.mask.unsqueeze(1)).gather(1, beam)
        now = (score, logprob, self.node.gather(1, beam))
        both = [torch.cat(pair, 1) for pair in zip(self.finished, now, strict=True)]
        best = both[0].topk(slots).indices
        self.finished = _Finished(*(part.gather(1, best) for part in both))

    def grow(
        self, token: Tensor, logprob: Tensor, done: Tensor, beam: Tensor | None = None
    ) -> None:
        """Go on with the next tokens, each after its beam, where a sentence is not done."""
        rows = torch.arange(self.node.numel(), device=token.device).view_as(self.node)
        rows = rows if beam is None else rows[:, :1] + beam
        self.logprob = logprob.masked_fill(done.unsqueeze(1), -torch.inf)
        stay = self._let_go(done) if self.n % self.look_every == 0 else None
        if stay is not None:
            rows, token, self.logprob = rows[stay], token[stay], self.logprob[stay]
        rows = rows.flatten()
        self.tokens.append(token.flatten())
        self.parents.append(self.node.flatten()[rows])
        self.node = self.nodes + torch.arange(token.numel(), device=token.device).view_as(token)
        self.nodes += token.numel()
        if stay is not None or beam is not None:
            self.states, self.looked = _take(self.states, rows, 1), _take(self.looked, rows, 0)

    def _let_go(self, done: Tensor) -> Tensor | None:
        """Take sentences that are done out of the batch: which stay, or None if all do."""
        gone = done.nonzero().squeeze(1)
        if not len(gone):
            return None
        self.left.append((self.sentences[gone], _take(self.finished, gone, 0)))
        stay = (~done).nonzero().squeeze(1)
        whole = (self.memories, self.sentences, self.limits, self.mask, self.finished)
        whole = _take(whole, stay, 0)
        self.memories, self.sentences, self.limits, self.mask, self.finished = whole
        return stay

    def read(self, n_best: int) -> list[list[Hypothesis]]:
        """Follow what has finished back to the root: at most `n_best` for each sentence."""
        self._let_go(torch.ones_like(self.sentences, dtype=torch.bool))
        sentences, finished = zip(*self.left, strict=True)
        order = torch.cat(sentences).argsort()
        slots = [torch.cat(part)[order, :n_best].tolist() for part in zip(*finished, strict=True)]
        tokens, parents = torch.cat(self.tokens).tolist(), torch.cat(self.parents).tolist()
        weights = torch.cat(self.weights).cpu() if self.weights else None
        found: list[list[Hypothesis]] = []
        for *row, size in zip(*slots, self.sources, strict=True):
            found.append([])
            for score, logprob, node in zip(*row, strict=True):
                if score > -torch.inf:
                    path = _path(node, parents)
                    attention = None if weights is None else weights[path, :size]
                    ids = [tokens[i] for i in path[1:]]
                    found[-1].append(Hypothesis(ids, score, logprob, attention))
        if not all(found):
            raise ValueError("nothing can be decoded: the model's logits are not finite numbers")
        return found


def _walk(search: _Search, choose: Callable[[Tensor], Tensor]) -> list[list[Hypothesis]]:
    """Let every hypothesis grow on its own, by the tokens that are chosen."""
    while search.goes_on():
        logprobs = search.logprobs()
        token = choose(logprobs.flatten(0, 1)).view_as(search.node)
        logprob = search.logprob + logprobs.gather(2, token.unsqueeze(2)).squeeze(2)
        ended = token == EOS_ID
        new = ended & (search.logprob != -torch.inf)
        now = zip((logprob, logprob, search.node), search.finished, strict=True)
        search.finished = _Finished(*(torch.where(new, a, b) for a, b in now))
        logprob = logprob.masked_fill(ended, -torch.inf)
        search.grow(token, logprob, done=(logprob == -torch.inf).all(1))
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


def _forced(
    models: Sequence[EncoderDecoder], src: Tensor, trg: Tensor, lengths: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Read given targets: log-probability of every next token, and the weights."""
    each, weights = [], []
    for model in models:
        memory, state = model.encode(src, lengths)
        logits, _, looked = model.decoder(trg[:, :-1], state, memory)
        each.append(_log_softmax(logits).gather(2, trg[:, 1:].unsqueeze(2)).squeeze(2))
        weights.append(looked)
    return _log_mean(each), _mean_weights(weights)


def _log_softmax(logits: Tensor, over: bool = False) -> Tensor:
    """Make log-probabilities, of full precision; if told over the logits, which saves new pages."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return torch.log_softmax(logits, -1, out=logits if over else None)


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


def _log_mean(logprobs: Sequence[Tensor]) -> Tensor:
    """Average the models' probabilities."""
    if len(logprobs) == 1:
        return logprobs[0]
    return torch.stack(list(logprobs)).logsumexp(0) - math.log(len(logprobs))


def _mean_weights(weights: Sequence[Tensor | None]) -> Tensor | None:
    """Average the weights of the models that look."""
    known = [each for each in weights if each is not None]
    return torch.stack(known).mean(0) if len(known) > 1 else known[0] if known else None


def _required(weights: Tensor | None) -> Tensor:
    if weights is None:
        raise ValueError("coverage_penalty must be 0 for a model without attention")
    return weights


def _take(tree: Any, index: Tensor, axis: int) -> Any:
    """Select from all tensors of a nested tuple."""
    if tree is None:
        return None
    if isinstance(tree, Tensor):
        return tree.index_select(axis, index)
    parts = [_take(part, index, axis) for part in tree]
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)


def _path(node: int, parents: list[int]) -> list[int]:
    path = []
    while node >= 0:
        path.append(node)
        node = parents[node]
    return path[::-1]


def _listed(models: Models) -> list[EncoderDecoder]:
    listed = list(models) if isinstance(models, Sequence) else [models]
    _check(len(listed) >= 1, "models must be at least one", len(listed))
    return listed


def _limits(max_length: int | Tensor, batch: int) -> Tensor:
    limits = torch.as_tensor(max_length, dtype=torch.long, device="cpu")
    shape = tuple(limits.shape)
    _check(shape in ((), (batch,)), f"max_length must be a number or have shape ({batch},)", shape)
    _check(int(limits.min()) >= 1, "max_length must be at least 1", int(limits.min()))
    return limits.expand(batch)


def _source_lengths(src: Tensor, lengths: Tensor | None) -> Tensor:
    return torch.full((len(src),), src.size(1)) if lengths is None else lengths


def _source_mask(src: Tensor, lengths: Tensor | None) -> Tensor:
    return lengths_to_mask(_source_lengths(src, lengths), src.size(1), src.device)


def _check(valid: bool, wish: str, got: object) -> None:
    if not valid:
        raise ValueError(f"{wish}, got {got}")
