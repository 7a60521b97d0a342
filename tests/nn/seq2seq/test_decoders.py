"""Decoders with attention at different positions, and without."""

import pytest
import torch
from seq2seq_models import DECODERS, LENGTHS, VOCAB, build, every_decoder, every_layer, pairs
from torch import nn

from rnn_lab.nn import ATTENTIONS, AttentionDecoder, Decoder, GNMTDecoder
from rnn_lab.nn.seq2seq.decoders import Readout


@every_layer
@every_decoder
def test_one_call_equals_single_steps(name, layer):
    model, (src, trg) = build(name, layer), pairs()
    memory, state = model.encode(src, LENGTHS)
    logits, final, weights = model.decoder(trg, state, memory)
    steps, step_weights = [], []
    for token in trg.split(1, 1):
        step, state, attended = model.decoder(token, state, memory)
        steps.append(step)
        step_weights.append(attended)
    torch.testing.assert_close(torch.cat(steps, 1), logits)
    torch.testing.assert_close(state, final)
    if weights is not None:
        torch.testing.assert_close(torch.cat(step_weights, 1), weights)
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, 5))


def test_the_attention_decoder_computes_what_the_textbook_does():
    torch.manual_seed(0)
    ours = AttentionDecoder(VOCAB, 4, 6, 2)
    attn, theirs = nn.Linear(12, 6), nn.LSTM(10, 6, 2, batch_first=True)
    theirs.load_state_dict(ours.recurrent.state_dict())
    with torch.no_grad():
        attn.weight.copy_(torch.cat([ours.attention.query.weight, ours.attention.key.weight], 1))
        attn.bias.copy_(ours.attention.query.bias)
    memory, tokens = torch.randn(3, 5, 6), torch.randint(4, VOCAB, (3, 4))
    hidden = cell = torch.zeros(2, 3, 6)
    expected = []
    for token in tokens.split(1, 1):
        repeated = hidden[-1].unsqueeze(1).expand(-1, 5, -1)
        energy = torch.tanh(attn(torch.cat([repeated, memory], 2)))
        weights = ours.attention.v(energy).squeeze(2).softmax(1).unsqueeze(1)
        x = torch.cat([ours.embedding(token), weights @ memory], 2)
        output, (hidden, cell) = theirs(x, (hidden, cell))
        expected.append(ours.fc(output))
    zeros = torch.zeros(2, 3, 6)
    torch.testing.assert_close(ours(tokens, (zeros, zeros), memory)[0], torch.cat(expected, 1))


@pytest.mark.parametrize("attention", sorted(ATTENTIONS))
def test_every_score_function_works_at_every_position(attention):
    src, trg = pairs()
    for name, (cls, _) in DECODERS.items():
        if cls is not Decoder:
            logits = build(name, attention=attention).logits(src, trg, 1, LENGTHS)
            assert logits.isfinite().all()


def test_the_readout_is_bounded():
    torch.manual_seed(0)
    output = Readout(3, 2, layer_norm=True)(100 * torch.randn(4, 3))
    assert output.shape == (4, 2)
    assert output.abs().max() <= 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Decoder(9, 4, 6, 1, layer="SRU"), "layer of a decoder must be one of RNN, LSTM"),
        (lambda: GNMTDecoder(9, 4, 6, 1), "num_layers of at least 2"),
        (lambda: AttentionDecoder(9, 4, 6, 1, attention="none"), "attention must be one"),
    ],
)
def test_invalid_options_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
