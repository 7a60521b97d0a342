"""Options of decoding."""

import pytest
from jsonargparse import Namespace

from rnn_lab.commands._concise_parser import ConciseParser
from rnn_lab.commands._search_options import (
    SEARCH,
    _search,
    add_search_options,
    given_options,
    spelling,
)
from rnn_lab.errors import UserError
from rnn_lab.nn import GenerationConfig

NAMES = {name: f"--{name}" for name in SEARCH}


def test_search_options_without_effect_are_refused():
    default = GenerationConfig()
    assert _search(default, {"n_best": 7}, NAMES).beam_size == 7
    assert _search(default, {"sampling": True, "top_k": 2}, NAMES).top_k == 2
    with pytest.raises(UserError, match="--top_k has no effect without sampling"):
        _search(default, {"top_k": 2}, NAMES)
    with pytest.raises(UserError, match="--beam_size has no effect with sampling"):
        _search(default, {"sampling": True, "beam_size": 2}, NAMES)
    with pytest.raises(UserError, match="beam_size"):
        _search(default, {"beam_size": 0}, NAMES)


@pytest.mark.parametrize("spelled", ["--beam_size", "--search.beam_size"])
def test_errors_name_a_search_option_as_it_is_spelled(spelled, capsys):
    names = spelling(Namespace(given=given_options([f"{spelled}=2"])))
    assert names["beam_size"] == spelled
    parser = ConciseParser()
    add_search_options(parser)
    with pytest.raises(SystemExit):
        parser.parse_args([f"{spelled}=x"])
    assert f"rnn-lab: {spelled} must be int, got x" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parser.parse_args(["--batch_size=2"])
    assert "beam_size" not in capsys.readouterr().err
