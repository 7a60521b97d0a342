"""Minimal checkpoints for tests."""

from pathlib import Path
from typing import Any

import torch

from rnn_lab.core.checkpoint import FORMAT

MODEL = {"class_path": "rnn_lab.LSTMClassifier", "init_args": {}}


def content(
    model: dict[str, Any] = MODEL, data: dict[str, Any] | None = None, **weights: torch.Tensor
) -> dict[str, Any]:
    """Return the content of a checkpoint with these build specifications and weights."""
    return {
        "state_dict": weights,
        "rnn_lab": {"format": FORMAT, "version": "0", "model": model, "data": data},
    }


def write(path: Path, model: dict[str, Any] = MODEL, data: dict[str, Any] | None = None) -> str:
    """Save a checkpoint without weights; return its path."""
    torch.save(content(model, data), path)
    return str(path)
