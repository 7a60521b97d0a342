"""What the parts of forecasters promise: scaling, segments, decoders, simple ways to go on."""

import pytest
import torch

from rnn_lab.nn import LAYERS
from rnn_lab.tasks.forecasting.modules import DirectDecoder, PatchDecoder, PatchEmbedding


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def decode_inputs(layer, horizon=7, channels=3, patch=3, known_dim=0):
    torch.manual_seed(0)
    recurrent = LAYERS[layer](4, 4)
    decoder = PatchDecoder(4, horizon, patch, 2, channels, known_dim, 0.0)
    rows = 2 * channels
    _, state = recurrent(randn(rows, 5, 4))
    return decoder, recurrent, state, randn(rows, horizon, known_dim, seed=1)


def test_a_patch_is_embedded_as_one_step():
    torch.manual_seed(0)
    module, x = PatchEmbedding(2, 3, 5), randn(4, 9, 2)
    result = module(x)
    assert result.shape == (4, 3, 5)
    for i in range(3):
        patch = x[:, 3 * i : 3 * i + 3].reshape(4, 6)
        torch.testing.assert_close(result[:, i], torch.relu(module.linear(patch)))


def test_steps_before_the_first_full_patch_are_dropped():
    torch.manual_seed(0)
    module, x = PatchEmbedding(2, 3, 5), randn(4, 11, 2)
    torch.testing.assert_close(module(x), module(x[:, 2:]))


@pytest.mark.parametrize("known_dim", [0, 2])
def test_the_direct_decoder_uses_future_covariates_at_their_step_only(known_dim):
    torch.manual_seed(0)
    module = DirectDecoder(6, 5, 3, known_dim, 0.0)
    state, known = randn(4, 6), randn(4, 5, known_dim, seed=1)
    result = module(state, known)
    assert result.shape == (4, 5, 3)
    if known_dim:
        other = known.clone()
        other[:, 2] += 1
        changed = (module(state, other) != result).any(2).any(0)
        assert changed.tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("horizon", [1, 3, 7])
def test_patches_cover_any_horizon(layer, horizon):
    decoder, *parts = decode_inputs(layer, horizon)
    assert decoder(*parts).shape == (6, horizon, 2)


@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU"])
def test_each_patch_is_one_step_from_the_final_state(layer):
    decoder, recurrent, state, known = decode_inputs(layer, 6)
    result = decoder(recurrent, state, known)
    for patch in range(2):
        position = decoder.position[patch].expand(6, -1)
        channel = decoder.channel.repeat(2, 1)
        output, _ = recurrent.step(torch.cat([position, channel], 1), state)
        expected = decoder.linear(output).view(6, 3, 2)
        torch.testing.assert_close(result[:, 3 * patch : 3 * patch + 3], expected)


def test_a_channel_embedding_affects_only_its_channel():
    decoder, *parts = decode_inputs("GRU")
    before = decoder(*parts)
    with torch.no_grad():
        decoder.channel[1] += 1
    changed = (decoder(*parts) != before).flatten(1).any(1)
    assert changed.tolist() == [False, True, False] * 2


def test_a_position_embedding_affects_only_its_patch():
    decoder, *parts = decode_inputs("GRU")
    before = decoder(*parts)
    with torch.no_grad():
        decoder.position[1] += 1
    changed = (decoder(*parts) != before).any(2).any(0)
    assert changed.tolist() == [False] * 3 + [True] * 3 + [False]


def test_the_patch_decoder_uses_future_covariates_at_their_step_only():
    decoder, recurrent, state, known = decode_inputs("GRU", known_dim=2)
    other = known.clone()
    other[:, 4] += 1
    changed = (decoder(recurrent, state, other) != decoder(recurrent, state, known)).any(2).any(0)
    assert changed.tolist() == [step == 4 for step in range(7)]


def test_an_odd_hidden_size_is_refused_for_several_channels():
    with pytest.raises(
        ValueError, match="hidden_dim must be even to hold position and channel embeddings, got 5"
    ):
        PatchDecoder(5, 6, 3, 1, 2, 0, 0.0)
    PatchDecoder(5, 6, 3, 1, 1, 0, 0.0)
