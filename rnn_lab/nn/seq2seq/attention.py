"""Attention: every step of a query looks at all steps of a memory."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function

from rnn_lab.nn.functional.linear import Linear

AT_ONCE = {"cpu": 1 << 18, "cuda": 1 << 26}  # numbers of the additive score held at a time


class Memory(NamedTuple):
    """What can be looked at, with all that does not depend on who looks.

    Attributes:
        values: Steps of the memory, `(batch, time, memory_size)`.
        keys: The same steps as scores need them, `(batch, time, key_size)`.
        mask: True on real steps, `(batch, time)` bool; None: all are real.
    """

    values: Tensor
    keys: Tensor
    mask: Tensor | None


class AttentionLayer(nn.Module, ABC):
    """Average a memory, for each query step by weights of its own; padding has weight zero.

    A subclass says how a query step scores a memory step. The memory is projected once
    (`prepare`), however many steps look at it.

    Args:
        query_size: Features of a query step.
        memory_size: Features of a memory step.
        hidden_size: Features in which both are compared.
    """

    def __init__(self, query_size: int, memory_size: int, hidden_size: int) -> None:
        super().__init__()
        self.query_size, self.output_size = query_size, memory_size
        self.hidden_size = hidden_size

    @abstractmethod
    def keys(self, memory: Tensor) -> Tensor:
        """Project the memory, `(batch, time, memory_size)`, to what `score` compares with."""

    @abstractmethod
    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """Score every memory step for every query step.

        Args:
            query: What is asked, `(batch, steps, query_size)`.
            keys: What can be looked at, `(batch, time, key_size)`.

        Returns:
            Unnormalized weights, `(batch, steps, time)`.
        """

    def prepare(self, memory: Tensor, mask: Tensor | None = None) -> Memory:
        """Do once for a memory what all queries need.

        Args:
            memory: What can be looked at, `(batch, time, memory_size)`.
            mask: True on real steps, `(batch, time)`; each row needs one.
        """
        return Memory(memory, self.keys(memory), mask)

    def forward(
        self, query: Tensor, memory: Tensor | Memory, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Look at the memory.

        Args:
            query: What is asked, `(rows, steps, query_size)`. There may be several rows for each
                row of the memory, as in a beam: neighbors look at the same one, which is not
                copied.
            memory: What can be looked at, `(batch, time, memory_size)`, or what `prepare` gave.
            mask: True on real steps, `(batch, time)`; what is prepared knows its own.

        Returns:
            The contexts, `(rows, steps, memory_size)`, and the weights, `(rows, steps, time)`,
            which sum to one over time.
        """
        known = memory if isinstance(memory, Memory) else self.prepare(memory, mask)
        rows, steps, _ = query.shape
        batch, time, _ = known.values.shape
        scores = self.score(query.reshape(batch, -1, self.query_size), known.keys)
        if known.mask is not None:
            scores = scores.masked_fill(~known.mask.unsqueeze(1), -torch.inf)
        weights = scores.softmax(-1)
        context = weights.to(known.values) @ known.values
        return context.view(rows, steps, -1), weights.view(rows, steps, time)


class AdditiveAttention(AttentionLayer):
    """Score a step by a small network that sees query and memory together: `v tanh(W q + U m)`.

    Source: Bahdanau et al. (2015), https://arxiv.org/abs/1409.0473, appendix A.1.2.

    Args:
        query_size: Features of a query step.
        memory_size: Features of a memory step.
        hidden_size: Width of the scoring network.
    """

    def __init__(self, query_size: int, memory_size: int, hidden_size: int) -> None:
        super().__init__(query_size, memory_size, hidden_size)
        self.query = Linear(query_size, hidden_size)
        self.key = Linear(memory_size, hidden_size, bias=False)
        self.v = Linear(hidden_size, 1, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        return self.key(memory)

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        query, v = self.query(query), self.v.weight[0]
        if query.size(1) == 1:
            return self.v(torch.tanh(keys + query)).transpose(1, 2)
        return _AdditiveScore.apply(query.to(v), keys.to(v), v)


class ScaledDotAttention(AttentionLayer):
    """Score a step by the dot product of projected query and memory, over the root of its size.

    Source: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, equation 1, one head.

    Args:
        query_size: Features of a query step.
        memory_size: Features of a memory step.
        hidden_size: Features of the projections.
    """

    def __init__(self, query_size: int, memory_size: int, hidden_size: int) -> None:
        super().__init__(query_size, memory_size, hidden_size)
        self.query = Linear(query_size, hidden_size)
        self.key = Linear(memory_size, hidden_size, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        return self.key(memory)

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        return (self.query(query) * self.hidden_size**-0.5) @ keys.transpose(1, 2)


class GeneralAttention(AttentionLayer):
    """Score a step by a bilinear form of query and memory: `q W m`.

    Source: Luong et al. (2015), https://arxiv.org/abs/1508.04025, equation 8, "general".

    Args:
        query_size: Features of a query step.
        memory_size: Features of a memory step.
        hidden_size: Not used: the form has no size of its own.
    """

    def __init__(self, query_size: int, memory_size: int, hidden_size: int = 0) -> None:
        super().__init__(query_size, memory_size, hidden_size)
        self.key = Linear(memory_size, query_size, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        return self.key(memory)

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        return query @ keys.transpose(1, 2)


ATTENTIONS: dict[str, type[AttentionLayer]] = {
    "additive": AdditiveAttention,
    "scaled_dot": ScaledDotAttention,
    "general": GeneralAttention,
}


class Attention(AdditiveAttention):
    """The weights alone of additive attention, for one query a row, all of one width.

    Args:
        hidden_dim: Features of the query, of a memory step, and of the scoring network.
    """

    def __init__(self, hidden_dim: int) -> None:
        super().__init__(hidden_dim, hidden_dim, hidden_dim)

    def forward(  # type: ignore[override]  # the textbook's: weights alone
        self, hidden: Tensor, encoder_outputs: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Weigh every step of the encoder's output.

        Args:
            hidden: What is asked, `(batch, hidden_dim)`.
            encoder_outputs: What can be looked at, `(batch, src_len, hidden_dim)`.
            mask: True on real steps, `(batch, src_len)`; None: all are real.

        Returns:
            Weights `(batch, src_len)`, zero on padding, with sum one.
        """
        _, weights = super().forward(hidden.unsqueeze(1), encoder_outputs, mask)
        return weights.squeeze(1)


class _AdditiveScore(Function):
    """`v tanh(query + key)` for all pairs of steps.

    Their sums would fill `batch * steps * time * hidden` numbers. They are made a few rows at a
    time, which stay in the cache, and made again for the gradient.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, keys: Tensor, v: Tensor) -> Tensor:
        ctx.save_for_backward(query, keys, v)
        scores = query.new_empty(query.size(0), query.size(1), keys.size(1))
        for some in _chunks(query, keys):
            torch.matmul(_energy(query[some], keys[some]), v, out=scores[some])
        return scores

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, keys, v = ctx.saved_tensors
        to_query, to_keys, to_v = map(torch.empty_like, (query, keys, v))
        to_v.zero_()
        for some in _chunks(query, keys):
            energy, above = _energy(query[some], keys[some]), grad[some]
            to_v += above.reshape(-1) @ energy.flatten(0, 2)
            slope = energy.square_().neg_().add_(1).mul_(above.unsqueeze(-1))
            torch.sum(slope, 2, out=to_query[some])
            torch.sum(slope, 1, out=to_keys[some])
        return to_query * v, to_keys * v, to_v


def _energy(query: Tensor, keys: Tensor) -> Tensor:
    return (query.unsqueeze(2) + keys.unsqueeze(1)).tanh_()


def _chunks(query: Tensor, keys: Tensor) -> list[slice]:
    """Cut the batch so that the sums of a part are few enough."""
    row = query.size(1) * keys.size(1) * keys.size(2)
    size = max(1, AT_ONCE.get(query.device.type, AT_ONCE["cpu"]) // max(row, 1))
    return [slice(i, i + size) for i in range(0, query.size(0), size)]
