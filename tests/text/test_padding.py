import numpy as np

from rnn_lab.special_tokens import PAD_ID
from rnn_lab.text.padding import gather_padded


def test_rows_are_gathered_in_order_and_padded_to_the_longest() -> None:
    ids, offsets = np.array([2, 3, 4, 5, 6, 7], np.int32), np.array([0, 1, 4, 6])
    tokens, lengths = gather_padded(ids, offsets, np.array([2, 0, 1]))
    assert tokens.tolist() == [[6, 7, PAD_ID], [2, PAD_ID, PAD_ID], [3, 4, 5]]
    assert lengths.tolist() == [2, 1, 3]
