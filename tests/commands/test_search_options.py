"""Options of decoding."""

import pytest

from rnn_lab.commands._search_options import _search
from rnn_lab.errors import UserError
from rnn_lab.nn import GenerationConfig


def test_search_options_without_effect_are_refused():
    default = GenerationConfig()
    assert _search(default, {"n_best": 7}).beam_size == 7
    assert _search(default, {"sampling": True, "top_k": 2}).top_k == 2
    with pytest.raises(UserError, match="--top_k has no effect without sampling"):
        _search(default, {"top_k": 2})
    with pytest.raises(UserError, match="--beam_size has no effect with sampling"):
        _search(default, {"sampling": True, "beam_size": 2})
    with pytest.raises(UserError, match="beam_size"):
        _search(default, {"beam_size": 0})
