"""Training of attention decoders."""

import pytest
import torch

from rnn_lab.benchmarks import translation
from rnn_lab.benchmarks.translation import RandomPairs, without_source_padding
from rnn_lab.tasks.translation.batch import PairBatch

SIZES = {
    **{"src_vocab_size": 9, "trg_vocab_size": 7, "embedding_dim": 4, "hidden_dim": 6},
    **{"batch_size": 3, "length": 5, "steps": 2, "num_layers": 2, "bidirectional": False},
}


def test_random_batches_repeat_and_have_no_special_tokens():
    pairs = RandomPairs(SIZES)
    assert len(pairs) == 3
    batch = pairs[1]
    assert batch.src.shape == (3, 5)
    assert batch.trg.shape == (3, 6)
    assert batch.src.min() >= translation.FIRST_TOKEN
    assert batch.src.equal(pairs[1].src)


def test_sentences_with_source_padding_are_left_out():
    rows = torch.arange(3).unsqueeze(1).expand(3, 4)
    lengths = torch.tensor([4, 3, 4])
    kept = without_source_padding(PairBatch(rows, rows, lengths, lengths))
    assert kept.src[:, 0].tolist() == kept.trg[:, 0].tolist() == [0, 2]


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_textbooks_model_computes_the_same_as_ours(bidirectional):
    options = SIZES | {"bidirectional": bidirectional}
    torch.manual_seed(0)
    textbook = translation.TextbookSeq2Seq(options)
    ours = translation.our_model("before", options)
    translation.copy_weights(textbook, ours)
    batch = RandomPairs(options)[0]
    loss = ours.net.loss(batch.src, batch.trg, 1.0, batch.src_lengths)
    torch.testing.assert_close(loss, textbook.loss(batch))
