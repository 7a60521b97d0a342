"""Refusal of second derivatives by functions with a gradient of their own."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate the `backward` of an autograd function that has no second derivative.

    Torch's decorator of this name refuses second derivatives only where the incoming gradient
    requires a gradient; elsewhere they are silently zero. This one refuses `create_graph=True`.

    Raises:
        RuntimeError: In the backward pass, if a graph of it is requested.
    """

    @wraps(backward)
    def checked(ctx: Any, *grads: Any) -> Any:
        if torch.is_grad_enabled():  # autograd enables it for create_graph=True only
            raise RuntimeError(
                f"{type(ctx).__name__} has no second derivative: create_graph=True, as for a "
                "gradient penalty, is not supported by this layer or loss of rnn_lab; use the "
                "layers of torch.nn"
            )
        return backward(ctx, *grads)

    return checked
