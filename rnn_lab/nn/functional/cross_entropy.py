"""The cross-entropy of a large vocabulary, without holding its scores."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from rnn_lab.nn.functional.linear import product, weight_gradient

AT_ONCE = {"cpu": 1 << 19, "cuda": 1 << 26}  # scores held at a time


def word_cross_entropy(
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    *,
    ignore_index: int,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Score words by a linear layer and compare with the true ones: the mean over real words.

    Gives what `torch.nn.functional.cross_entropy` gives of `linear(features, weight, bias)`. The
    scores, and with them the gradient, are made a few rows at a time, which stay in the cache.
    Under autocast products are made in its type, all else in full precision.

    Args:
        features: What words are scored from, `(..., features)`.
        weight: `(vocab, features)`.
        bias: `(vocab,)`.
        targets: Ids of the true words, `(...)` int64.
        ignore_index: Id that counts as no word, such as that of the padding.
        label_smoothing: Share of each target that is spread evenly over the vocabulary.

    Returns:
        The loss, a scalar; not a number if no word is real.
    """
    real = targets != ignore_index
    rows, targets = features[real], targets[real]
    kind = rows.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else rows.dtype
    with torch.autocast(kind, enabled=False):
        rows, weight = rows.to(dtype), weight.to(dtype)
        total = _SummedCrossEntropy.apply(rows, weight, bias.float(), targets, label_smoothing)
    return total / len(targets)


class _SummedCrossEntropy(Function):
    """The sum over rows. The gradient with respect to the scores is made with the scores."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float
    ) -> Tensor:
        wanted = any(ctx.needs_input_grad[:3])
        grad = rows.new_empty(len(rows), len(weight)) if wanted else None
        total = torch.zeros((), device=rows.device)
        size = max(1, AT_ONCE.get(rows.device.type, AT_ONCE["cpu"]) // len(weight))
        for i in range(0, len(rows), size):
            some = slice(i, i + size)
            scores = product(rows[some], weight).float().add_(bias)
            true = targets[some].unsqueeze(1)
            wished = scores.gather(1, true).squeeze(1) * (1 - smoothing)
            if smoothing:
                wished += scores.mean(1) * smoothing
            top = scores.amax(1, keepdim=True)
            odds = scores.sub_(top).exp_()
            mass = odds.sum(1, keepdim=True)
            total += (mass.log() + top).sum() - wished.sum()
            if grad is not None:
                share = odds.div_(mass).sub_(smoothing / len(weight))
                share.scatter_add_(1, true, share.new_full(true.shape, smoothing - 1))
                grad[some] = share
        ctx.save_for_backward(rows, weight, grad)
        return total

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, grad = ctx.saved_tensors
        to_rows = product(grad, weight.t()).mul_(above)
        to_weight = weight_gradient(grad, rows).mul_(above)
        to_bias = grad.sum(0, dtype=above.dtype) * above
        return to_rows, to_weight, to_bias, None, None
