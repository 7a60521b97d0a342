"""Batches and sums stay in float32 with 16-bit weights."""

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins import HalfPrecision

from rnn_lab.core.half_precision import HalfWeights, keep_batches_in_float32


def plugin_of(precision):
    trainer = Trainer(precision=precision, accelerator="cpu", logger=False, barebones=True)
    keep_batches_in_float32(trainer)
    return trainer.precision_plugin


def test_the_plugin_of_16_bit_weights_leaves_batches_and_the_default_dtype():
    plugin, batch = plugin_of("bf16-true"), torch.tensor([1.001])
    assert isinstance(plugin, HalfWeights)
    assert plugin.convert_input(batch) is batch
    with plugin.train_step_context():
        assert torch.zeros(1).dtype == torch.float32
    assert plugin.convert_module(torch.nn.Linear(1, 1)).weight.dtype == torch.bfloat16


def test_other_precisions_keep_their_plugin():
    for precision in ("32-true", "64-true", "bf16-mixed"):
        assert not isinstance(plugin_of(precision), HalfPrecision)
