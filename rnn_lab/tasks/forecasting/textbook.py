"""The training loop for forecasters of the textbook's chapter "Recurrent Neural Networks (RNNs)".

The command line does not use it: its Trainer masks missing values and clips gradients.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


def train_forecaster(
    model: nn.Module,
    train_loader: Iterable[tuple[Tensor, Tensor]],
    criterion: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    device: torch.device | str,
) -> float:
    """Train a forecaster for one epoch.

    Args:
        model: Maps sequences `(batch, time, input_dim)` to forecasts `(batch, output_dim)`.
        train_loader: Batches of sequences and targets, the latter shaped like the forecasts.
        criterion: Computes the loss of forecasts and targets, a scalar.
        optimizer: Updates the parameters of the model.
        device: Device to compute on.

    Returns:
        The mean of the losses of all batches.

    Raises:
        ValueError: If there is no batch.
    """
    model.train()
    losses = []
    for sequences, targets in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(sequences.to(device)), targets.to(device))
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    if not losses:
        raise ValueError("train_loader is empty")
    return float(torch.stack(losses).mean())
