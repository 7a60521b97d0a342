import pytest
import torch

from rnn_lab.tasks.translation.joined_attention import join_subwords


def test_attention_to_subwords_is_added_and_that_of_subwords_is_averaged():
    weights = torch.tensor([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5]])
    assert join_subwords(weights, [0, 1], [0, 1]).tolist() == [[0.5, 0.5], [0.0, 1.0]]
    assert join_subwords(weights, [0, 1, 2], [0]).tolist() == [[0.25, 0.375, 0.375]]
    assert join_subwords(weights, [0], [0]).tolist() == [[1.0]]


@pytest.mark.parametrize("seed", range(3))
def test_weights_of_each_word_still_add_up_to_one(seed):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(9, 7, generator=generator).softmax(1)
    joined = join_subwords(weights, [0, 2, 3], [0, 1, 5, 8])
    assert joined.shape == (4, 3)
    torch.testing.assert_close(joined.sum(1), torch.ones(4))


def test_weights_between_words_are_unchanged():
    weights = torch.rand(3, 4)
    torch.testing.assert_close(join_subwords(weights, range(4), range(3)), weights)
