"""Encoder, bridge and decoder together."""

import pytest
import torch
from seq2seq_models import DECODERS, LENGTHS, VOCAB, build, every_decoder, every_layer, pairs
from torch import nn

from rnn_lab.nn import (
    AttentionDecoder,
    Bridge,
    Decoder,
    Encoder,
    Seq2Seq,
    Seq2SeqDropouts,
)


@every_layer
@every_decoder
def test_padding_is_never_read(name, layer):
    model, (src, trg) = build(name, layer), pairs()
    logits = model.logits(src, trg, 1, LENGTHS)
    wider = torch.cat([src, torch.full((3, 2), 7)], 1)
    torch.testing.assert_close(model.logits(wider, trg, 1, LENGTHS), logits)
    for row, length in enumerate(LENGTHS):
        alone = model.logits(src[row : row + 1, :length], trg[row : row + 1])
        torch.testing.assert_close(alone[0], logits[row])


@every_layer
@every_decoder
def test_every_parameter_gets_a_gradient(name, layer):
    model, (src, trg) = build(name, layer), pairs()
    model.logits(src, trg, 1, LENGTHS).square().sum().backward()
    for parameter in model.parameters():
        assert parameter.grad.abs().sum() > 0


@every_decoder
def test_dropout_is_active_in_training_only(name):
    torch.manual_seed(0)
    cls, own = DECODERS[name]
    dropouts = Seq2SeqDropouts(0.2, 0.3, 0.3, 0.3, 0.1, variational=True)
    encoder = Encoder(VOCAB, 4, 6, 2, layer_norm=True, dropouts=dropouts)
    model = Seq2Seq(encoder, cls(VOCAB, 4, 6, 2, **own, dropouts=dropouts))
    src, trg = pairs()
    first, second = (model.logits(src, trg, 1, LENGTHS) for _ in range(2))
    assert not torch.equal(first, second)
    model.eval()
    torch.testing.assert_close(
        model.logits(src, trg, 1, LENGTHS), model.logits(src, trg, 1, LENGTHS)
    )


@every_decoder
def test_memorizes_a_reversal(name):
    model = build(name)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    src = torch.stack([torch.arange(4, 8) + i for i in range(3)])
    trg = torch.cat([torch.full((3, 1), 2), src.flip(1)], 1)
    for _ in range(100):
        optimizer.zero_grad()
        logits = model.logits(src, trg)
        nn.functional.cross_entropy(logits.flatten(0, 1), trg[:, 1:].flatten()).backward()
        optimizer.step()
    assert (model.logits(src, trg).argmax(-1) == trg[:, 1:]).all()
    predicted = model.logits(src, trg, 0.0)  # without teacher forcing
    assert (predicted.argmax(-1) == trg[:, 1:]).all()


@every_decoder
def test_the_first_row_of_the_textbooks_output_is_zero(name):
    model, (src, trg) = build(name), pairs()
    output = model(src, trg, 1.0, LENGTHS)
    assert output.shape == (3, 5, VOCAB)
    assert (output[:, 0] == 0).all()
    torch.testing.assert_close(output[:, 1:], model.logits(src, trg, 1, LENGTHS))


def test_teacher_forcing_is_drawn_for_each_row_and_step():
    """Rows of equal pairs differ only after a step at which the prediction was wrong."""
    model = build("before").eval()
    src, trg = (x[:1].expand(200, -1) for x in pairs())
    torch.manual_seed(0)
    mixed = model.logits(src, trg, 0.5)
    assert (mixed[:, 0] == mixed[0, 0]).all()
    assert len(mixed[:, 1].unique(dim=0)) == 2
    assert 2 < len(mixed[:, 3].unique(dim=0)) <= 8
    forced = model.logits(src, trg, 1.0)
    fraction = (mixed[:, 1] - forced[:, 1]).abs().amax(1).lt(1e-5).float().mean()
    assert 0.35 < fraction < 0.65


def test_the_usage_lines_of_the_textbook_work():
    model = Seq2Seq(Encoder(100, 8, 16, 2), Decoder(80, 8, 16, 2))
    src, trg = torch.randint(100, (4, 7)), torch.randint(80, (4, 5))
    assert model(src, trg).shape == (4, 5, 80)
    attentive = AttentionDecoder(80, 8, 16, 2)
    memory, state = Encoder(100, 8, 16, 2)(src)
    logits, _, weights = attentive(trg[:, :1], state, memory)
    assert (logits.shape, weights.shape) == ((4, 1, 80), (4, 1, 7))


@every_layer
@pytest.mark.parametrize("kind", Bridge.KINDS)
@pytest.mark.parametrize(("encoder_layers", "decoder_layers"), [(3, 1), (1, 3), (2, 2)])
def test_a_bridge_works_for_any_depth(kind, encoder_layers, decoder_layers, layer):
    encoder = Encoder(VOCAB, 4, 3, encoder_layers, layer=layer, bidirectional=True)
    model = Seq2Seq(encoder, Decoder(VOCAB, 4, 6, decoder_layers, layer=layer), bridge=kind)
    src, trg = pairs()
    _, state = model.encode(src, LENGTHS)
    for part in state if isinstance(state, tuple) else (state,):
        assert part.shape == (decoder_layers, 3, 6)
        assert (part == 0).all() == (kind == "zeros")
    model.logits(src, trg, 1, LENGTHS)


def test_a_copying_bridge_concatenates_both_directions():
    encoder = Encoder(VOCAB, 4, 3, 1, layer="GRU", bidirectional=True)
    state = torch.randn(2, 5, 3)
    copied = Bridge("copy", encoder, Decoder(VOCAB, 4, 6, 1, layer="GRU"))(state)
    torch.testing.assert_close(copied[0], torch.cat([state[0], state[1]], 1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Seq2Seq(Encoder(9, 4, 5, 1), AttentionDecoder(9, 4, 6, 1)), "memory_size is 6"),
        (
            lambda: Seq2Seq(Encoder(9, 4, 5, 1), Decoder(9, 4, 6, 1), bridge="copy"),
            "of the same layer and size",
        ),
        (lambda: Seq2Seq(Encoder(9, 4, 6, 1), Decoder(9, 4, 6, 1), bridge="x"), "bridge must be"),
    ],
)
def test_encoders_and_decoders_that_do_not_match_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_ratio_out_of_range_is_refused():
    src, trg = pairs()
    with pytest.raises(ValueError, match="teacher_forcing_ratio must be from 0 to 1, got 1"):
        build("before").logits(src, trg, 1.5)
