"""Attention layers: weighted averages of a memory for every step of a query."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function

from rnn_lab.nn.functional.linear import Linear
from rnn_lab.nn.functional.once_differentiable import once_differentiable

MAX_ELEMENTS = {"cpu": 1 << 18, "cuda": 1 << 26}  # of additive attention, held at a time


class Memory(NamedTuple):
    """A memory with everything that does not depend on the query.

    Attributes:
        values: The memory, `(batch, time, memory_size)`.
        keys: The memory projected for the score function, `(batch, time, key_size)`.
        mask: True on real steps, `(batch, time)` bool; None if all steps are real.
    """

    values: Tensor
    keys: Tensor
    mask: Tensor | None


class AttentionLayer(nn.Module, ABC):
    """Average a memory with separate weights for each query step; padding has weight zero.

    A subclass defines the score function. The memory is projected once (`prepare`) for all query
    steps.

    Args:
        query_size: Features of the query.
        memory_size: Features of the memory.
        hidden_size: Size of the space in which both are compared.
    """

    def __init__(self, query_size: int, memory_size: int, hidden_size: int) -> None:
        super().__init__()
        self.query_size, self.output_size = query_size, memory_size
        self.hidden_size = hidden_size
        self.build()

    @abstractmethod
    def build(self) -> None:
        """Create the parameters of the score function."""

    @abstractmethod
    def keys(self, memory: Tensor) -> Tensor:
        """Project the memory, `(batch, time, memory_size)`, to the keys that `score` reads."""

    @abstractmethod
    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """Score every memory step for every query step.

        Args:
            query: The query, `(batch, steps, query_size)`.
            keys: The projected memory, `(batch, time, key_size)`.

        Returns:
            Unnormalized weights, `(batch, steps, time)`.
        """

    def prepare(self, memory: Tensor, mask: Tensor | None = None) -> Memory:
        """Project a memory once for all queries.

        Args:
            memory: The memory, `(batch, time, memory_size)`.
            mask: True on real steps, `(batch, time)`; each row needs at least one.
        """
        return Memory(memory, self.keys(memory), mask)

    def forward(
        self, query: Tensor, memory: Tensor | Memory, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Attend to the memory.

        Args:
            query: The query, `(rows, steps, query_size)`. `rows` may be a multiple of `batch`, as
                in beam search: adjacent rows then share a row of the memory, which is not copied.
            memory: The memory, `(batch, time, memory_size)`, or the result of `prepare`.
            mask: True on real steps, `(batch, time)`; ignored for a prepared memory, which has
                its own.

        Returns:
            The contexts, `(rows, steps, memory_size)`, and the weights, `(rows, steps, time)`,
            which sum to one over time.
        """
        prepared = memory if isinstance(memory, Memory) else self.prepare(memory, mask)
        rows, steps, _ = query.shape
        batch, time, _ = prepared.values.shape
        scores = self.score(query.reshape(batch, -1, self.query_size), prepared.keys)
        if prepared.mask is not None:
            scores = scores.masked_fill(~prepared.mask.unsqueeze(1), -torch.inf)
        weights = scores.softmax(-1)
        context = weights.to(prepared.values) @ prepared.values
        return context.view(rows, steps, -1), weights.view(rows, steps, time)


class AdditiveAttention(AttentionLayer):
    """Score memory steps with a feed-forward network over query and memory: `v tanh(W q + U m)`.

    Source: Bahdanau et al. (2015), https://arxiv.org/abs/1409.0473, appendix A.1.2.

    Args:
        query_size: Features of the query.
        memory_size: Features of the memory.
        hidden_size: Units of the scoring network.
    """

    def build(self) -> None:
        self.query = Linear(self.query_size, self.hidden_size)
        self.key = Linear(self.output_size, self.hidden_size, bias=False)
        self.v = Linear(self.hidden_size, 1, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        return self.key(memory)

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        query, v = self.query(query), self.v.weight[0]
        if query.size(1) == 1:
            return self.v(torch.tanh(keys + query)).transpose(1, 2)
        return _AdditiveScore.apply(query.to(v), keys.to(v), v)


class ScaledDotAttention(AttentionLayer):
    """Score memory steps by the scaled dot product of projected query and memory.

    Source: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, equation 1, one head.

    Args:
        query_size: Features of the query.
        memory_size: Features of the memory.
        hidden_size: Size of the projections; scores are divided by its square root.
    """

    def build(self) -> None:
        self.query = Linear(self.query_size, self.hidden_size)
        self.key = Linear(self.output_size, self.hidden_size, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        return self.key(memory)

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        return (self.query(query) * self.hidden_size**-0.5) @ keys.transpose(1, 2)


class GeneralAttention(AttentionLayer):
    """Score memory steps by a bilinear form of query and memory: `q W m`.

    Source: Luong et al. (2015), https://arxiv.org/abs/1508.04025, equation 8, "general".

    Args:
        query_size: Features of the query.
        memory_size: Features of the memory.
        hidden_size: Not used: a bilinear form has no hidden layer.
    """

    def build(self) -> None:
        self.key = Linear(self.output_size, self.query_size, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        return self.key(memory)

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        return query.to(keys.dtype) @ keys.transpose(1, 2)


ATTENTIONS: dict[str, type[AttentionLayer]] = {
    "additive": AdditiveAttention,
    "scaled_dot": ScaledDotAttention,
    "general": GeneralAttention,
}


class Attention(AdditiveAttention):
    """Additive attention as in the textbook: weights only, one query per row, one size.

    Args:
        hidden_dim: Features of the query and the memory, and units of the scoring network.
    """

    def __init__(self, hidden_dim: int) -> None:
        super().__init__(hidden_dim, hidden_dim, hidden_dim)

    def forward(  # type: ignore[override]  # as in the textbook: weights only
        self, hidden: Tensor, encoder_outputs: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Compute the attention weights of the encoder's outputs.

        Args:
            hidden: The query, `(batch, hidden_dim)`.
            encoder_outputs: The memory, `(batch, src_len, hidden_dim)`.
            mask: True on real steps, `(batch, src_len)`; None if all steps are real.

        Returns:
            Weights `(batch, src_len)`, zero on padding, which sum to one.
        """
        _, weights = super().forward(hidden.unsqueeze(1), encoder_outputs, mask)
        return weights.squeeze(1)


class _AdditiveScore(Function):
    """`v tanh(query + key)` for all pairs of steps.

    The sums have `batch * steps * time * hidden` elements. They are computed for a few rows at a
    time, which fit in the cache, and recomputed in the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, keys: Tensor, v: Tensor) -> Tensor:
        ctx.save_for_backward(query, keys, v)
        scores = query.new_empty(query.size(0), query.size(1), keys.size(1))
        for chunk in _chunks(query, keys):
            torch.matmul(_energy(query[chunk], keys[chunk]), v, out=scores[chunk])
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, keys, v = ctx.saved_tensors
        grad_query, grad_keys, grad_v = map(torch.empty_like, (query, keys, v))
        grad_v.zero_()
        for chunk in _chunks(query, keys):
            energy, grad_scores = _energy(query[chunk], keys[chunk]), grad[chunk]
            grad_v += grad_scores.reshape(-1) @ energy.flatten(0, 2)
            slope = energy.square_().neg_().add_(1).mul_(grad_scores.unsqueeze(-1))
            torch.sum(slope, 2, out=grad_query[chunk])
            torch.sum(slope, 1, out=grad_keys[chunk])
        return grad_query * v, grad_keys * v, grad_v


def _energy(query: Tensor, keys: Tensor) -> Tensor:
    return (query.unsqueeze(2) + keys.unsqueeze(1)).tanh_()


def _chunks(query: Tensor, keys: Tensor) -> list[slice]:
    """Split the batch into chunks whose sums have at most `MAX_ELEMENTS` elements."""
    row_elements = query.size(1) * keys.size(1) * keys.size(2)
    size = max(1, MAX_ELEMENTS.get(query.device.type, MAX_ELEMENTS["cpu"]) // max(row_elements, 1))
    return [slice(i, i + size) for i in range(0, query.size(0), size)]
