"""Cross-entropy over a large vocabulary that never holds all logits in memory."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from rnn_lab.nn.functional.linear import linear_nograd, prepacked_linear, weight_gradient
from rnn_lab.nn.functional.once_differentiable import once_differentiable
from rnn_lab.nn.functional.precision import autocast_dtype, no_autocast

CHUNK_LOGITS = {"cpu": 1 << 19, "cuda": 1 << 26}  # logits in memory at a time
MIN_ROWS = 64  # of a chunk, for which the whole weight is read


def linear_cross_entropy(
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    *,
    ignore_index: int,
    label_smoothing: float = 0.0,
    losses: Tensor | None = None,
) -> Tensor:
    """Compute the mean cross-entropy of a linear output layer over the targets not ignored.

    The result equals `torch.nn.functional.cross_entropy` of `linear(features, weight, bias)`. The
    logits and their gradient are computed in chunks of few rows that fit into the cache. Under
    autocast matrix products use the autocast dtype, everything else full precision.

    Args:
        features: Input of the output layer, `(..., features)`.
        weight: `(vocab, features)`.
        bias: `(vocab,)`.
        targets: Token ids, `(...)` int64.
        ignore_index: Target that does not contribute to the loss, such as the padding id.
        label_smoothing: Label smoothing epsilon.
        losses: Receives the loss of each target, without gradient, 0 where it is ignored: float32
            `(...)`. None to compute the mean alone.

    Returns:
        The loss, a scalar; NaN if all targets are ignored.
    """
    valid, ignored = targets != ignore_index, None
    if features.is_cpu:
        rows, targets = features[valid], targets[valid]
        count: Tensor | int = len(targets)
    else:  # a selection would make the CPU wait for its size
        count, ignored = valid.sum(), ~valid.view(-1, 1)
        rows, targets = features.flatten(0, -2), targets.where(valid, 0).flatten()
    dtype = autocast_dtype(rows) or rows.dtype
    with no_autocast(rows.device):
        rows, weight = rows.to(dtype), weight.to(dtype)
        bias = bias.to(torch.promote_types(dtype, torch.float32))
        each = None if losses is None else bias.new_zeros(len(rows))
        total = _SummedCrossEntropy.apply(
            rows, weight, bias, targets, ignored, label_smoothing, each
        )
    if losses is not None and each is not None:
        if ignored is None:
            losses.zero_().masked_scatter_(valid, each.to(losses.dtype))
        else:
            losses.copy_(each.view_as(losses))
    return total / count


class _SummedCrossEntropy(Function):
    """Sum over all rows but those where `ignored`, `(rows, 1)`, is True, in the bias's dtype.

    The gradient of the logits is computed in the forward pass.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        ignored: Tensor | None,
        smoothing: float,
        losses: Tensor | None,
    ) -> Tensor:
        needs_grad = any(ctx.needs_input_grad[:3])
        grad_logits = rows.new_empty(len(rows), len(weight)) if needs_grad else None
        total = bias.new_zeros(())
        chunk = CHUNK_LOGITS.get(rows.device.type, CHUNK_LOGITS["cpu"])
        size = max(MIN_ROWS, chunk // len(weight))
        product = prepacked_linear(weight, size)  # else oneDNN reorders the weight for each chunk
        for i in range(0, len(rows), size):
            part = slice(i, i + size)
            logits = product(rows[part]).to(bias.dtype).add_(bias)
            target = targets[part].unsqueeze(1)
            expected = logits.gather(1, target).squeeze(1) * (1 - smoothing)
            if smoothing:
                expected += logits.mean(1) * smoothing
            largest = logits.amax(1, keepdim=True)
            exps = logits.sub_(largest).exp_()
            normalizer = exps.sum(1, keepdim=True)
            log_normalizer = normalizer.log() + largest
            if ignored is not None:
                expected.masked_fill_(ignored[part, 0], 0)
                log_normalizer.masked_fill_(ignored[part], 0)
            total += log_normalizer.sum() - expected.sum()
            if losses is not None:
                losses[part] = log_normalizer.squeeze(1) - expected
            if grad_logits is not None:
                grad = exps.div_(normalizer).sub_(smoothing / len(weight))
                grad.scatter_add_(1, target, grad.new_full(target.shape, smoothing - 1))
                grad_logits[part] = grad if ignored is None else grad.masked_fill_(ignored[part], 0)
        ctx.save_for_backward(rows, weight, grad_logits)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, grad_logits = ctx.saved_tensors
        grad_rows = linear_nograd(grad_logits, weight.t()).mul_(grad)
        grad_weight = weight_gradient(grad_logits, rows).mul_(grad)
        grad_bias = grad_logits.sum(0, dtype=grad.dtype) * grad
        return grad_rows, grad_weight, grad_bias, None, None, None, None
