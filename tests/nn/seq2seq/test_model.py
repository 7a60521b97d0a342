"""What every decoder promises, and what encoder and decoder promise together."""

import pytest
import torch
from torch import nn

from rnn_lab.nn import (
    ATTENTIONS,
    AttentionDecoder,
    Bridge,
    Decoder,
    Encoder,
    GNMTDecoder,
    LuongDecoder,
    Seq2Seq,
    Seq2SeqDropouts,
)

VOCAB, LENGTHS = 11, torch.tensor([6, 4, 1])
DECODERS = {
    "no attention": (Decoder, {}),
    "before": (AttentionDecoder, {}),
    "between": (GNMTDecoder, {}),
    "after": (LuongDecoder, {}),
    "after, fed": (LuongDecoder, {"input_feeding": True, "readout_dim": 8}),
    "before, read out": (AttentionDecoder, {"readout_dim": 8, "layer_norm": True}),
    "no attention, read out": (Decoder, {"readout_dim": 8}),
}
every_decoder = pytest.mark.parametrize("name", DECODERS)
every_layer = pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU"])


def build(name, layer="LSTM", bidirectional=True, **options):
    torch.manual_seed(0)
    cls, own = DECODERS[name]
    encoder = Encoder(VOCAB, 4, 6, 2, layer=layer, bidirectional=bidirectional)
    if cls is not Decoder:
        options |= {"memory_size": encoder.output_size}
    return Seq2Seq(encoder, cls(VOCAB, 4, 6, 2, layer=layer, **own, **options))


def pairs():
    torch.manual_seed(1)
    src = torch.randint(4, VOCAB, (3, 6)) * (torch.arange(6) < LENGTHS.unsqueeze(1))
    return src, torch.randint(4, VOCAB, (3, 5))


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
def test_all_steps_at_once_are_the_steps_one_by_one(name, layer):
    model, (src, trg) = build(name, layer), pairs()
    memory, state = model.encode(src, LENGTHS)
    whole, after, weights = model.decoder(trg, state, memory)
    steps, looks = [], []
    for token in trg.split(1, 1):
        logits, state, look = model.decoder(token, state, memory)
        steps.append(logits)
        looks.append(look)
    torch.testing.assert_close(torch.cat(steps, 1), whole)
    torch.testing.assert_close(state, after)
    if weights is not None:
        torch.testing.assert_close(torch.cat(looks, 1), weights)
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, 5))


@every_layer
@every_decoder
def test_every_parameter_gets_a_gradient(name, layer):
    model, (src, trg) = build(name, layer), pairs()
    model.logits(src, trg, 1, LENGTHS).square().sum().backward()
    for parameter in model.parameters():
        assert parameter.grad.abs().sum() > 0


@every_decoder
def test_dropout_of_every_kind_trains(name):
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
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    src = torch.stack([torch.arange(4, 8) + i for i in range(4)])
    trg = torch.cat([torch.full((4, 1), 2), src.flip(1)], 1)
    for _ in range(200):
        optimizer.zero_grad()
        logits = model.logits(src, trg)
        nn.functional.cross_entropy(logits.flatten(0, 1), trg[:, 1:].flatten()).backward()
        optimizer.step()
    assert (model.logits(src, trg).argmax(-1) == trg[:, 1:]).all()
    free = model.logits(src, trg, 0.0)  # and without being shown the truth
    assert (free.argmax(-1) == trg[:, 1:]).all()


@every_decoder
def test_the_first_row_of_the_textbooks_output_is_zero(name):
    model, (src, trg) = build(name), pairs()
    output = model(src, trg, 1.0, LENGTHS)
    assert output.shape == (3, 5, VOCAB)
    assert (output[:, 0] == 0).all()
    torch.testing.assert_close(output[:, 1:], model.logits(src, trg, 1, LENGTHS))


def test_teacher_forcing_is_drawn_for_each_row_and_step():
    """A row that always guesses right does not tell; wrong guesses make rows part ways."""
    model = build("before").eval()
    src, trg = (x[:1].expand(200, -1) for x in pairs())
    torch.manual_seed(0)
    mixed = model.logits(src, trg, 0.5)
    assert (mixed[:, 0] == mixed[0, 0]).all()
    assert len(mixed[:, 1].unique(dim=0)) == 2
    assert 2 < len(mixed[:, 3].unique(dim=0)) <= 8
    forced = model.logits(src, trg, 1.0)
    share = (mixed[:, 1] - forced[:, 1]).abs().amax(1).lt(1e-5).float().mean()
    assert 0.35 < share < 0.65


def test_the_textbooks_lines_work():
    model = Seq2Seq(Encoder(100, 8, 16, 2), Decoder(80, 8, 16, 2))
    src, trg = torch.randint(100, (4, 7)), torch.randint(80, (4, 5))
    assert model(src, trg).shape == (4, 5, 80)
    attentive = AttentionDecoder(80, 8, 16, 2)
    memory, state = Encoder(100, 8, 16, 2)(src)
    logits, _, weights = attentive(trg[:, :1], state, memory)
    assert (logits.shape, weights.shape) == ((4, 1, 80), (4, 1, 7))


def test_the_attention_decoder_is_the_textbooks_with_its_weights():
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
def test_every_attention_fits_every_position(attention):
    src, trg = pairs()
    for name, (cls, _) in DECODERS.items():
        if cls is not Decoder:
            logits = build(name, attention=attention).logits(src, trg, 1, LENGTHS)
            assert logits.isfinite().all()


@every_layer
@pytest.mark.parametrize("kind", Bridge.KINDS)
@pytest.mark.parametrize(("deep", "flat"), [(3, 1), (1, 3), (2, 2)])
def test_a_bridge_fits_any_depth(kind, deep, flat, layer):
    encoder = Encoder(VOCAB, 4, 3, deep, layer=layer, bidirectional=True)
    model = Seq2Seq(encoder, Decoder(VOCAB, 4, 6, flat, layer=layer), bridge=kind)
    src, trg = pairs()
    _, state = model.encode(src, LENGTHS)
    for part in state if isinstance(state, tuple) else (state,):
        assert part.shape == (flat, 3, 6)
        assert (part == 0).all() == (kind == "zeros")
    model.logits(src, trg, 1, LENGTHS)


def test_a_bridge_that_passes_joins_the_two_directions():
    encoder = Encoder(VOCAB, 4, 3, 1, layer="GRU", bidirectional=True)
    state = torch.randn(2, 5, 3)
    passed = Bridge("copy", encoder, Decoder(VOCAB, 4, 6, 1, layer="GRU"))(state)
    torch.testing.assert_close(passed[0], torch.cat([state[0], state[1]], 1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Encoder(9, 4, 6, 1, layer="LSTN"), "no recurrent layer LSTN: did you mean LSTM"),
        (lambda: GNMTDecoder(9, 4, 6, 1), "num_layers of at least 2"),
        (lambda: AttentionDecoder(9, 4, 6, 1, attention="none"), "attention must be one"),
        (lambda: Seq2Seq(Encoder(9, 4, 5, 1), AttentionDecoder(9, 4, 6, 1)), "memory_size is 6"),
        (
            lambda: Seq2Seq(Encoder(9, 4, 5, 1), Decoder(9, 4, 6, 1), bridge="copy"),
            "of the same layer and size",
        ),
        (lambda: Seq2Seq(Encoder(9, 4, 6, 1), Decoder(9, 4, 6, 1), bridge="x"), "bridge must be"),
    ],
)
def test_parts_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_ratio_without_meaning_is_refused():
    src, trg = pairs()
    with pytest.raises(ValueError, match="teacher_forcing_ratio must be from 0 to 1, got 1"):
        build("before").logits(src, trg, 1.5)
