"""A generation config decodes as the function that it selects."""

import pytest
import torch

from rnn_lab.nn import GREEDY, AttentionDecoder, Encoder, GenerationConfig, Seq2Seq
from rnn_lab.nn.seq2seq.search import beam_search, greedy_decode, sample_decode

LENGTHS = torch.tensor([4, 2])


def model():
    torch.manual_seed(0)
    return Seq2Seq(Encoder(9, 4, 6, 1), AttentionDecoder(9, 4, 6, 1)).eval()


def sources():
    torch.manual_seed(1)
    return torch.randint(4, 9, (2, 4))


def test_a_beam_of_one_is_greedy():
    decoded = GREEDY.decode(model(), sources(), LENGTHS, 6)
    greedy = greedy_decode(model(), sources(), LENGTHS, max_length=6)
    assert decoded == [[hypothesis] for hypothesis in greedy]


def test_beam_search_uses_its_options():
    config = GenerationConfig(3, 0.5, 0.2, n_best=2)
    expected = beam_search(
        model(), sources(), LENGTHS, beam_size=3, max_length=6, length_penalty=0.5,
        coverage_penalty=0.2, n_best=2,
    )  # fmt: skip
    assert config.decode(model(), sources(), LENGTHS, 6) == expected


def test_sampling_uses_its_options_and_generator():
    config = GenerationConfig(n_best=3, sampling=True, temperature=0.8, top_k=4, top_p=0.9)
    decoded = config.decode(
        model(), sources(), LENGTHS, 6, generator=torch.Generator().manual_seed(2)
    )
    expected = sample_decode(
        model(), sources(), LENGTHS, max_length=6, num_samples=3, temperature=0.8, top_k=4,
        top_p=0.9, generator=torch.Generator().manual_seed(2),
    )  # fmt: skip
    assert decoded == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beam_size": 0}, "beam_size must be at least 1, got 0"),
        ({"n_best": 6}, r"n_best must be from 1 to beam_size \(5\), got 6"),
        ({"length_penalty": -1.0}, "length_penalty must be at least 0, got -1.0"),
        ({"coverage_penalty": -1.0}, "coverage_penalty must be at least 0, got -1.0"),
        ({"temperature": 0.0}, "temperature must be above 0, got 0.0"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_p": 1.5}, "top_p must be above 0 and at most 1, got 1.5"),
    ],
)
def test_invalid_values_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GenerationConfig(**arguments)
