"""A strategy does what the function does that it stands for."""

import torch

from rnn_lab.nn import AttentionDecoder, Encoder, GenerationConfig, Seq2Seq
from rnn_lab.nn.seq2seq.search import beam_search, greedy_decode, sample_decode

LENGTHS = torch.tensor([4, 2])


def model():
    torch.manual_seed(0)
    return Seq2Seq(Encoder(9, 4, 6, 1), AttentionDecoder(9, 4, 6, 1)).eval()


def sources():
    torch.manual_seed(1)
    return torch.randint(4, 9, (2, 4))


def test_a_beam_of_one_is_greedy():
    found = GenerationConfig().decode(model(), sources(), LENGTHS, 6)
    greedy = greedy_decode(model(), sources(), LENGTHS, max_length=6)
    assert found == [[only] for only in greedy]


def test_a_beam_takes_its_numbers():
    strategy = GenerationConfig(3, 0.5, 0.2, n_best=2)
    expected = beam_search(
        model(), sources(), LENGTHS, beam_size=3, max_length=6, length_penalty=0.5,
        coverage_penalty=0.2, n_best=2,
    )  # fmt: skip
    assert strategy.decode(model(), sources(), LENGTHS, 6) == expected


def test_sampling_takes_its_numbers_and_its_chance():
    strategy = GenerationConfig(n_best=3, sampling=True, temperature=0.8, top_k=4, top_p=0.9)
    found = strategy.decode(
        model(), sources(), LENGTHS, 6, generator=torch.Generator().manual_seed(2)
    )
    expected = sample_decode(
        model(), sources(), LENGTHS, max_length=6, temperature=0.8, top_k=4, top_p=0.9, samples=3,
        generator=torch.Generator().manual_seed(2),
    )  # fmt: skip
    assert found == expected
