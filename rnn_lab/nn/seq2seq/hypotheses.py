"""The state of a search over target sequences: hypotheses of all sources, stepped together.

Hypotheses of one source are adjacent rows and share one memory, which is not copied. A source whose
search has ended leaves the batch; the results of the others do not depend on it.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from rnn_lab.nn.functional.padding import lengths_to_mask
from rnn_lab.special_tokens import BOS_ID, EOS_ID, PAD_ID

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


class Penalties:
    """Makes scores of log-probabilities."""

    def __init__(self, length: float, coverage: float) -> None:
        check_option(length >= 0, "length_penalty must be at least 0", length)
        check_option(coverage >= 0, "coverage_penalty must be at least 0", coverage)
        self.alpha, self.beta = length, coverage

    def length(self, n: Any) -> Any:
        return ((5 + n) / 6) ** self.alpha

    def coverage(self, looked: Tensor, mask: Tensor) -> Tensor:
        """Add up over source tokens, the last axis, how far each was looked at in all."""
        logs = looked.clamp(torch.finfo(looked.dtype).tiny, 1).log()
        return self.beta * logs.masked_fill(~mask, 0).sum(-1)


class Finished(NamedTuple):
    """The best that has ended, each `(sentences, slots)`; an empty slot has score -inf."""

    score: Tensor
    logprob: Tensor
    node: Tensor


class HypothesisSearch:
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
        rules: DecodingRules = SEQ2SEQ_RULES,
        width: int = 1,
        slots: int = 1,
        cover: bool = False,
    ) -> None:
        limits = length_limits(max_length, len(src))
        self.shortest, self.longest = (int(limit) for limit in limits.aminmax())
        self.look_every = LOOK_EVERY.get(src.device.type, 1)
        self.models, self.attention, self.rules = as_models(models), attention, rules
        self.n = 0  # the step: tokens, end included, of what ends there
        self.sentences = torch.arange(len(src), device=src.device)
        self.memories, states = zip(*(m.encode(src, lengths) for m in self.models), strict=True)
        self.states = take(states, self.sentences.repeat_interleave(width), 1)
        self.sources: list[int] = source_lengths(src, lengths).tolist()
        self.limits, self.mask = limits.to(src.device), source_mask(src, lengths)
        self.logprob = torch.zeros(len(src), width, device=src.device)
        self.looked = self.logprob.new_zeros(len(src) * width, src.size(1)) if cover else None
        empty = self.logprob.new_full((len(src), slots), -torch.inf)
        self.finished = Finished(empty, empty, torch.zeros_like(empty, dtype=torch.long))
        self.left: list[tuple[Tensor, Finished]] = []
        self.node = torch.arange(len(src) * width, device=src.device).view(-1, width)
        self.nodes = self.node.numel()
        self.tokens = [torch.full_like(self.node, rules.start).flatten()]
        self.parents = [torch.full_like(self.node, -1).flatten()]
        self.weights: list[Tensor] = []

    def goes_on(self) -> bool:
        """Begin the next step, if a sentence is left and may grow."""
        self.n += 1
        steps = self.longest + (self.rules.end is not None)
        return len(self.sentences) > 0 and self.n <= steps

    def logprobs(self) -> Tensor:
        """Read the last tokens: log-probabilities of the next, `(sentences, width, vocab)`."""
        calls = zip(self.models, self.states, self.memories, strict=True)
        tokens = self.tokens[-1].unsqueeze(1)
        outputs = [model.decoder(tokens, state, memory) for model, state, memory in calls]
        logits, self.states, weights = zip(*outputs, strict=True)
        self._look(mean_weights(weights))
        logprobs = log_mean([log_softmax(x.squeeze(1), over=True) for x in logits])
        logprobs = logprobs.view(*self.node.shape, -1)
        for token in self.rules.suppressed:
            logprobs[..., token] = -torch.inf
        if self.rules.end is not None and self.n > self.shortest:
            others = torch.arange(logprobs.size(2), device=logprobs.device) != self.rules.end
            full = (self.limits < self.n).unsqueeze(1)
            logprobs.masked_fill_((full & others).unsqueeze(1), -torch.inf)
        return logprobs

    def _look(self, weights: Tensor | None) -> None:
        if self.looked is not None:
            self.looked = self.looked + require_weights(weights).squeeze(1)
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
        now = zip((logprob, logprob, self.node), self.finished, strict=True)
        self.finished = Finished(*(torch.where(new, a, b) for a, b in now))
        return logprob.masked_fill(complete, -torch.inf)

    def complete(self) -> Tensor:
        """Mask the hypotheses that need no end token after their last one, `(batch, width)`."""
        full = self.limits <= self.n if self.rules.end is None else torch.zeros_like(self.limits)
        complete = full.bool().unsqueeze(1).expand_as(self.node)
        if self.rules.stopping is None:
            return complete
        return complete | self.rules.stopping(self.tokens[-1].view_as(self.node))

    def rank(self, logprob: Tensor, beam: Tensor, penalties: Penalties) -> None:
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
        self.finished = Finished(*(part.gather(1, best) for part in both))

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
            self.states, self.looked = take(self.states, rows, 1), take(self.looked, rows, 0)

    def _let_go(self, done: Tensor) -> Tensor | None:
        """Take sentences that are done out of the batch: which stay, or None if all do."""
        gone = done.nonzero().squeeze(1)
        if not len(gone):
            return None
        self.left.append((self.sentences[gone], take(self.finished, gone, 0)))
        stay = (~done).nonzero().squeeze(1)
        whole = (self.memories, self.sentences, self.limits, self.mask, self.finished)
        whole = take(whole, stay, 0)
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


def log_softmax(logits: Tensor, over: bool = False) -> Tensor:
    """Make log-probabilities, of full precision; if told over the logits, which saves new pages."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return torch.log_softmax(logits, -1, out=logits if over else None)


def log_mean(logprobs: Sequence[Tensor]) -> Tensor:
    """Average the models' probabilities."""
    if len(logprobs) == 1:
        return logprobs[0]
    return torch.stack(list(logprobs)).logsumexp(0) - math.log(len(logprobs))


def mean_weights(weights: Sequence[Tensor | None]) -> Tensor | None:
    """Average the weights of the models that look."""
    known = [each for each in weights if each is not None]
    return torch.stack(known).mean(0) if len(known) > 1 else known[0] if known else None


def require_weights(weights: Tensor | None) -> Tensor:
    if weights is None:
        raise ValueError("coverage_penalty must be 0 for a model without attention")
    return weights


def take(tree: Any, index: Tensor, axis: int) -> Any:
    """Select from all tensors of a nested tuple."""
    if tree is None:
        return None
    if isinstance(tree, Tensor):
        return tree.index_select(axis, index.to(tree.device))
    parts = [take(part, index, axis) for part in tree]
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)


def _path(node: int, parents: list[int]) -> list[int]:
    path = []
    while node >= 0:
        path.append(node)
        node = parents[node]
    return path[::-1]


def as_models(models: Models) -> list[EncoderDecoder]:
    listed = list(models) if isinstance(models, Sequence) else [models]
    check_option(len(listed) >= 1, "models must be at least one", len(listed))
    return listed


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


def check_option(valid: bool, wish: str, got: object) -> None:
    if not valid:
        raise ValueError(f"{wish}, got {got}")
