"""The sequence-to-sequence Transformer."""

import math

import pytest
import torch
from torch import nn

from rnn_lab.nn.seq2seq.transformer import SourceEncoder, TransformerDecoder, TransformerSeq2Seq
from rnn_lab.nn.transformer import TransformerOptions, sinusoids

VOCAB, SIZE = 12, 8
LENGTHS = torch.tensor([5, 2, 4])


def build(**options):
    torch.manual_seed(0)
    options = TransformerOptions(num_heads=2, **options)
    encoder = SourceEncoder(VOCAB, SIZE, 2, options)
    return TransformerSeq2Seq(encoder, TransformerDecoder(VOCAB, SIZE, 2, options)).eval()


def pairs():
    torch.manual_seed(1)
    return torch.randint(4, VOCAB, (3, 5)), torch.randint(4, VOCAB, (3, 6))


every_order = pytest.mark.parametrize("norm_first", [False, True])


@every_order
def test_it_equals_the_decoder_of_torch(norm_first):
    model, (src, trg) = build(norm_first=norm_first), pairs()
    decoder = model.decoder
    layer = nn.TransformerDecoderLayer(
        SIZE, 2, 4 * SIZE, 0.0, batch_first=True, norm_first=norm_first
    )
    reference = nn.TransformerDecoder(layer, 2, decoder.norm if norm_first else None).eval()
    reference.layers.load_state_dict(decoder.layers.state_dict())
    padding = torch.arange(5) >= LENGTHS.unsqueeze(1)
    x = decoder.embedding(trg) * math.sqrt(SIZE) + sinusoids(0, 6, SIZE)
    causal = nn.Transformer.generate_square_subsequent_mask(6)
    memory = model.encoder(src, LENGTHS)
    expected = reference(x, memory, causal, memory_key_padding_mask=padding)
    prepared, state = model.encode(src, LENGTHS)
    torch.testing.assert_close(decoder.features(trg, state, prepared)[0], expected)
    cross, queries = reference.layers[-1].multihead_attn, []
    cross.register_forward_pre_hook(lambda _, args: queries.append(args[0]))
    reference(x, memory, causal, memory_key_padding_mask=padding)
    _, weights = cross(queries[0], memory, memory, key_padding_mask=padding)
    torch.testing.assert_close(decoder(trg, state, prepared)[2], weights)


@every_order
@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_step_by_step_gives_the_same_logits_as_all_steps_at_once(norm_first, positions):
    model, (src, trg) = build(norm_first=norm_first, positions=positions), pairs()
    memory, state = model.encode(src, LENGTHS)
    expected, final, weights = model.decoder(trg, state, memory)
    for step in range(trg.size(1)):
        logits, state, attended = model.decoder(trg[:, step : step + 1], state, memory)
        torch.testing.assert_close(logits[:, 0], expected[:, step], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(attended[:, 0], weights[:, step], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(state, final, atol=1e-5, rtol=1e-5)


def test_adjacent_rows_share_a_source():
    model, (src, trg) = build(), pairs()
    memory, state = model.encode(src, LENGTHS)
    wide = tuple(part.repeat_interleave(2, 1) for part in state)
    tokens = trg.repeat_interleave(2, 0)
    expected = model.decoder(trg, state, memory)
    actual = model.decoder(tokens, wide, memory)
    torch.testing.assert_close(actual[0], expected[0].repeat_interleave(2, 0))
    torch.testing.assert_close(actual[2], expected[2].repeat_interleave(2, 0))


def test_no_step_reads_a_later_token_or_padding():
    model, (src, trg) = build(), pairs()
    logits = model.logits(src, trg, 1.0, LENGTHS)
    changed, padded = trg.clone(), src.clone()
    changed[:, 3:] = 4
    padded[torch.arange(5) >= LENGTHS.unsqueeze(1)] = 9
    torch.testing.assert_close(model.logits(src, changed, 1.0, LENGTHS)[:, :3], logits[:, :3])
    torch.testing.assert_close(model.logits(padded, trg, 1.0, LENGTHS), logits)


def test_scheduled_sampling_reads_own_predictions():
    model, (src, trg) = build(), pairs()
    logits = model.logits(src, trg, 0.0, LENGTHS)
    own = torch.cat([trg[:, :1], logits.argmax(2)], 1)
    torch.testing.assert_close(model.logits(src, own, 1.0, LENGTHS), logits, atol=1e-5, rtol=1e-5)


def test_training_computes_no_attention_weights():
    model, (src, trg) = build().train(), pairs()
    memory, state = model.encode(src, LENGTHS)
    assert model.decoder(trg, state, memory)[2] is None
