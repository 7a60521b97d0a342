"""Which decoders run on a compiled kernel; all others are computed by PyTorch."""

from typing import Any

import pytest
import torch
from torch import Tensor

from rnn_lab.nn import AttentionDecoder, InputFeedingDecoder
from rnn_lab.nn.native import decoder as native
from rnn_lab.nn.seq2seq import compiled_loop
from rnn_lab.nn.seq2seq.attention import AdditiveAttention
from rnn_lab.nn.seq2seq.compiled_loop import run_compiled

TOKENS, MEMORY, STATE = torch.randint(4, 11, (3, 4)), torch.randn(3, 5, 6), torch.zeros(1, 3, 6)
MASK = torch.arange(5) < torch.tensor([[5], [2], [1]])


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Pretend that there are kernels for all plain tensors; list which would run."""
    called: list[str] = []

    def loop(self: native.DecoderLoop, inputs: native.Inputs) -> tuple:
        called.append(self.kernel)
        rows, steps, _ = inputs.embedded.shape
        zeros = [torch.zeros(rows, steps, size) for size in (6, 6, inputs.values.size(1))]
        return (*zeros, inputs.fed, inputs.state)

    monkeypatch.setattr(compiled_loop, "supports", lambda kernel, *tensors: True)
    monkeypatch.setattr(native.DecoderLoop, "__call__", loop)
    return called


def decoder(
    cls: type = AttentionDecoder, layer: str = "GRU", **options: object
) -> AttentionDecoder:
    torch.manual_seed(0)
    return cls(11, 4, 6, 1, layer=layer, **options)


def call(net: Any, mask: Tensor | None = MASK, tokens: Tensor = TOKENS) -> None:
    state = (STATE, STATE) if net.num_states == 2 else STATE
    net(tokens, net.start(state), MEMORY, mask)


@pytest.mark.parametrize("layer", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("cls", [AttentionDecoder, InputFeedingDecoder])
@pytest.mark.parametrize("mask", [MASK, None], ids=["padded", "full"])
def test_all_steps_of_a_target_are_one_call(runs, cls, layer, mask):
    call(decoder(cls, layer), mask)
    assert runs == [layer.lower()]


@pytest.mark.parametrize("cls", [AttentionDecoder, InputFeedingDecoder])
def test_single_steps_and_beams_are_computed_by_pytorch(runs, cls):
    call(decoder(cls), tokens=TOKENS[:, :1])
    net, state = decoder(cls), torch.zeros(1, 6, 6)
    net(TOKENS.repeat(2, 1), net.start(state), MEMORY, MASK)
    assert runs == []


@pytest.mark.parametrize(
    "mask", [MASK.flip(1), MASK & torch.tensor([True, False, True, True, True])], ids=str
)
def test_padding_that_is_not_at_the_end_is_computed_by_pytorch(runs, mask):
    call(decoder(), mask)
    assert runs == []


def test_a_source_without_real_steps_is_computed_by_pytorch(runs):
    call(decoder(), MASK & torch.tensor([[True], [True], [False]]))
    assert runs == []


def test_a_readout_with_layer_norm_is_computed_by_pytorch(runs):
    call(decoder(InputFeedingDecoder, layer_norm=True))
    assert runs == []
    call(decoder(AttentionDecoder, layer_norm=True, readout_dim=5))  # outside the loop
    assert runs == ["gru"]


def test_attention_with_a_score_of_its_own_is_computed_by_pytorch(runs):
    class Own(AdditiveAttention):
        def score(self, query: Tensor, keys: Tensor) -> Tensor:
            return super().score(query, keys) / 2

    net = decoder()
    net.attention = Own(6, 6, 6)
    call(net)
    assert runs == []


@pytest.mark.parametrize("cls", [AttentionDecoder, InputFeedingDecoder])
def test_what_the_kernels_do_not_support_is_computed_by_pytorch(cls, monkeypatch):
    asked = []
    monkeypatch.setattr(
        compiled_loop, "supports", lambda kernel, *tensors: asked.append((kernel, len(tensors)))
    )
    call(decoder(cls))
    known = 3 + 3  # embeddings, values, keys, and weights of the attention
    assert asked == [("gru_decoder", known + 1 + 4 + (3 if cls is InputFeedingDecoder else 0))]


def test_without_attention_there_is_no_loop():
    net = decoder()
    assert run_compiled(net.recurrent, net.attention, torch.zeros(3, 4, 4), STATE, None) is None


@pytest.mark.parametrize("cls", [AttentionDecoder, InputFeedingDecoder])
@pytest.mark.parametrize(("layer", "parts"), [("LSTM", 1), ("LSTM", 3), ("GRU", 0), ("RNN", 2)])
def test_a_state_of_another_layer_is_computed_by_pytorch(runs, cls, layer, parts):
    net, states = decoder(cls, layer), [STATE] * (parts + (cls is InputFeedingDecoder))
    prepared = net.prepare(MEMORY, MASK)
    embedded = net.embedding(TOKENS)
    readout = net.readout.linear if net.readout else None
    given = net.recurrent, net.attention, embedded, tuple(states), prepared, readout
    assert run_compiled(*given) is None
    assert runs == []
