from typing import Any

import pytest

from rnn_lab.errors import UserError
from rnn_lab.tasks.text_classification.tokenizer import (
    TruncatingTokenizer,
    TruncatingTokenizerConfig,
)

TEXTS = ["a good film", "a bad film", "good , not bad", "Äpfel & été 日本"]


def learned(**settings: Any) -> TruncatingTokenizer:
    return TruncatingTokenizer.learn(TruncatingTokenizerConfig(**settings), TEXTS)


@pytest.mark.parametrize("kind", ["words", "whitespace", "characters", "bpe", "unigram"])
def test_long_texts_are_truncated_on_the_right_or_on_the_left(kind: Any) -> None:
    full = learned(kind=kind).encode(TEXTS)
    right = learned(kind=kind, max_length=2).encode(TEXTS)
    left = learned(kind=kind, max_length=2, truncation_side="left").encode(TEXTS)
    assert right == [row[:2] for row in full]
    assert left == [row[-2:] for row in full]


def test_a_saved_tokenizer_truncates_in_the_same_way() -> None:
    tokenizer = learned(max_length=2, truncation_side="left")
    restored = TruncatingTokenizer.from_state_dict(tokenizer.state_dict())
    assert restored.settings == tokenizer.settings
    assert restored.encode(TEXTS) == tokenizer.encode(TEXTS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_length": -1}, "max_length must be at least 1, got -1"),
        ({"truncation_side": "middle"}, "truncation_side must be right or left, got 'middle'"),
        ({"min_freq": 0}, "min_freq must be at least 1, got 0"),
    ],
)
def test_an_invalid_option_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TruncatingTokenizerConfig(**settings)
