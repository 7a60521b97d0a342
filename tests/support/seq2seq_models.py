"""Small encoder-decoder models for tests."""

from typing import Any

import pytest
import torch

from rnn_lab.nn import (
    AttentionDecoder,
    Decoder,
    Encoder,
    GNMTDecoder,
    InputFeedingDecoder,
    LuongDecoder,
    Seq2Seq,
)

VOCAB, LENGTHS = 11, torch.tensor([6, 4, 1])
DECODERS = {
    "no attention": (Decoder, {}),
    "before": (AttentionDecoder, {}),
    "between": (GNMTDecoder, {}),
    "after": (LuongDecoder, {}),
    "after, input feeding": (InputFeedingDecoder, {"readout_dim": 8}),
    "before, readout": (AttentionDecoder, {"readout_dim": 8, "layer_norm": True}),
    "no attention, readout": (Decoder, {"readout_dim": 8}),
}
every_decoder = pytest.mark.parametrize("name", DECODERS)
every_layer = pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU"])


def build(name: str, layer: str = "LSTM", bidirectional: bool = True, **options: Any) -> Seq2Seq:
    torch.manual_seed(0)
    cls, own = DECODERS[name]
    encoder = Encoder(VOCAB, 4, 6, 2, layer=layer, bidirectional=bidirectional)
    if cls is not Decoder:
        options |= {"memory_size": encoder.output_size}
    return Seq2Seq(encoder, cls(VOCAB, 4, 6, 2, layer=layer, **own, **options))


def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    src = torch.randint(4, VOCAB, (3, 6)) * (torch.arange(6) < LENGTHS.unsqueeze(1))
    return src, torch.randint(4, VOCAB, (3, 5))
