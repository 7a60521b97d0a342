"""Encoders of any recurrent layer."""

import pytest
import torch

from rnn_lab.nn import Encoder, Seq2SeqDropouts

LENGTHS = torch.tensor([5, 2])


def encoder(layer="LSTM", **options):
    torch.manual_seed(0)
    return Encoder(9, 4, 6, 2, layer=layer, **options).eval()


def sources():
    torch.manual_seed(1)
    return torch.randint(4, 9, (2, 5))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layer", ["LSTM", "GRU", "RNN"])
def test_memory_and_state_have_the_documented_shapes(layer, bidirectional):
    model = encoder(layer, bidirectional=bidirectional)
    memory, state = model(sources(), LENGTHS)
    directions = 2 if bidirectional else 1
    assert memory.shape == (2, 5, model.output_size) == (2, 5, 6 * directions)
    for part in state if isinstance(state, tuple) else (state,):
        assert part.shape == (2 * directions, 2, 6)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_other_layers_have_their_last_outputs_as_state(bidirectional):
    memory, state = encoder("IndRNN", bidirectional=bidirectional)(sources(), LENGTHS)
    forward = memory[torch.arange(2), LENGTHS - 1, :6]
    torch.testing.assert_close(state[0], forward)
    if bidirectional:
        torch.testing.assert_close(state[1], memory[:, 0, 6:])


@pytest.mark.parametrize("layer", ["LSTM", "IndRNN"])
def test_padding_does_not_change_memory_or_state(layer):
    model, src = encoder(layer, bidirectional=True, layer_norm=True), sources()
    memory, state = model(src, LENGTHS)
    alone, alone_state = model(src[1:, :2], LENGTHS[1:])
    torch.testing.assert_close(alone[0], memory[1, :2])
    parts = zip(
        state if isinstance(state, tuple) else (state,),
        alone_state if isinstance(alone_state, tuple) else (alone_state,),
        strict=True,
    )
    for part, alone_part in parts:
        torch.testing.assert_close(alone_part[:, 0], part[:, 1])


def test_output_dropout_is_active_in_training_only():
    model = encoder(dropouts=Seq2SeqDropouts(0.0, 0.0, encoder_output=0.5))
    src = sources()
    torch.testing.assert_close(model(src)[0], model(src)[0])
    assert (model.train()(src)[0] == 0).any()


def test_an_unknown_layer_is_refused_with_close_matches():
    with pytest.raises(ValueError, match="no recurrent layer LSTN: did you mean LSTM"):
        encoder("LSTN")
