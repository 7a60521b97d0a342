import io
import pickle
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from rnn_lab.errors import UserError
from rnn_lab.special_tokens import PAD_ID, UNK_ID
from rnn_lab.text import tokenizer as tokenizers
from rnn_lab.text.tokenizer import SPECIAL_TOKENS, TextTokenizer, TokenizerConfig, split_words

TEXTS = ["a good film", "a bad film", "good , not bad", "Äpfel & été 日本"]
KINDS = ("words", "whitespace", "characters", "bpe", "unigram")


def learned(texts: list[str] = TEXTS, **settings: Any) -> TextTokenizer:
    return TextTokenizer.learn(TokenizerConfig(**settings), texts)


def tokenize(tokenizer: TextTokenizer, text: str) -> list[str]:
    return tokenizer.decode(tokenizer.encode([text])[0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("isn't can't won't", ["is", "n't", "ca", "n't", "wo", "n't"]),
        ("ISN'T it's They'RE", ["IS", "N'T", "it", "'s", "They", "'RE"]),
        ("I'd we've she'll I'm", ["I", "'d", "we", "'ve", "she", "'ll", "I", "'m"]),
        ("do n't it 's", ["do", "n't", "it", "'s"]),
        ("n't sn'ts 'sofa' o'clock", ["n't", "sn", "'", "ts", "'", "sofa", "'", "o", "'", "clock"]),
        ("good<br />bad<br>fine<br/>", ["good", "bad", "fine"]),
        ("<b>5 < 6", ["<", "b", ">", "5", "<", "6"]),
        ("...10/10!", [".", ".", ".", "10", "/", "10", "!"]),
        ("Äpfel, été\u00a0日本 naïve_1", ["Äpfel", ",", "été", "日本", "naïve_1"]),
        ("", []),
        (" \t\n", []),
    ],
)
def test_texts_are_split_into_words_contractions_and_punctuation(
    text: str, words: list[str]
) -> None:
    assert split_words(text) == words


def test_raw_and_tokenized_text_give_the_same_words() -> None:
    assert split_words("It isn't bad, it's fine.") == split_words("It is n't bad , it 's fine .")


def test_whitespace_and_character_tokenizers_split_by_their_names() -> None:
    by_space = learned(["it's  good,film"], kind="whitespace")
    assert tokenize(by_space, "it's  good,film") == ["it's", "good,film"]
    by_character = learned(["Ab c"], kind="characters", lowercase=False)
    assert tokenize(by_character, "c Ab") == ["c", " ", "A", "b"]


def test_ids_are_ordered_by_frequency_then_alphabetically() -> None:
    assert learned(["b a a", "c b"]).words == [*SPECIAL_TOKENS, "a", "b", "c"]


def test_the_vocabulary_does_not_depend_on_the_order_of_texts() -> None:
    assert learned(TEXTS).words == learned(TEXTS[::-1]).words


def test_lowercase_can_be_disabled() -> None:
    assert learned(["Good good"]).encode(["GOOD"]) == [[2]]
    cased = learned(["Good good good"], lowercase=False)
    assert cased.encode(["good Good GOOD"]) == [[2, 3, UNK_ID]]


def test_words_outside_the_vocabulary_are_unknown() -> None:
    assert learned(["good"]).encode(["good bad"]) == [[2, UNK_ID]]


def test_rare_words_are_unknown() -> None:
    assert learned(["a b", "a b c"], min_freq=2).words == [*SPECIAL_TOKENS, "a", "b"]


def test_a_limited_vocabulary_holds_the_most_frequent_words() -> None:
    tokenizer = learned(["c c c b b a"], max_vocab_size=2)
    assert tokenizer.words == [*SPECIAL_TOKENS, "c", "b"]
    assert len(tokenizer) == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["<pad> <unk>", "good<pad>film"])
def test_no_text_is_encoded_as_padding(kind: Any, text: str) -> None:
    for texts in (TEXTS, [*TEXTS, text]):
        tokenizer = learned(texts, kind=kind)
        assert PAD_ID not in tokenizer.encode([text])[0]
        assert len(set(tokenizer.words)) == len(tokenizer)


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_without_words_has_no_ids(kind: Any) -> None:
    assert learned(kind=kind).encode([""]) == [[]]
    assert learned(kind=kind).encode([]) == []


@pytest.mark.parametrize("limit", [1, 3, 10_000])
def test_word_counts_are_exact_for_every_memory_limit(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizers, "MAX_COUNTED_WORDS", limit)
    rng = np.random.default_rng(0)
    rows = [[f"wört{i}" for i in rng.integers(40, size=20)] for _ in range(30)]
    counted = list(tokenizers._count(rows))
    assert dict(counted) == Counter(word for row in rows for word in row)
    assert len(counted) == len(dict(counted))


def test_the_vocabulary_is_the_same_for_every_memory_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {"min_freq": 2, "max_vocab_size": 3}
    expected = learned(TEXTS, **settings).words
    monkeypatch.setattr(tokenizers, "MAX_COUNTED_WORDS", 2)
    assert learned(TEXTS, **settings).words == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_tokenizer_gives_the_same_ids(kind: Any) -> None:
    tokenizer = learned(kind=kind)
    file = io.BytesIO()
    torch.save(tokenizer.state_dict(), file)
    file.seek(0)
    again = TextTokenizer.from_state_dict(torch.load(file, weights_only=True))
    texts = [*TEXTS, "a new film, <br />isn't it?", "<pad>", ""]
    assert again.encode(texts) == tokenizer.encode(texts)
    assert again.settings == tokenizer.settings
    assert again.words == tokenizer.words


def test_bpe_spells_known_and_new_words() -> None:
    tokenizer = learned(["low lower lowest new newer newest"] * 3, kind="bpe", max_vocab_size=40)
    assert "".join(tokenize(tokenizer, "newer lowest")) == "▁newer▁lowest"
    assert "".join(tokenize(tokenizer, "lownew<br />WEST")) == "▁lownew▁west"
    assert len(tokenizer) <= 40
    assert tokenizer.encode(["low ~"])[0][-1] == UNK_ID


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_subwords_spell_the_text(kind: Any) -> None:
    tokenizer = learned(["low lower lowest new newer newest"] * 9, kind=kind, max_vocab_size=30)
    assert "".join(tokenize(tokenizer, "Newer LOWEST<br />new")) == "▁newer▁lowest▁new"
    assert len(tokenizer) <= 30
    assert UNK_ID in tokenizer.encode(["low ~"])[0]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_special_token_that_is_frequent_in_texts_is_ordinary_text(kind: Any) -> None:
    tokenizer = learned(["x<pad>y <pad> z"] * 20, kind=kind)
    assert PAD_ID not in tokenizer.encode(["x<pad>y <PAD>"])[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickled_tokenizer_gives_the_same_ids(kind: Any) -> None:
    tokenizer = learned([*TEXTS, "<pad>"], kind=kind)
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.encode([*TEXTS, "<pad>"]) == tokenizer.encode([*TEXTS, "<pad>"])


def test_bpe_normalizes_composed_and_decomposed_letters() -> None:
    tokenizer = learned(["été"] * 3, kind="bpe")
    assert tokenizer.encode(["e\u0301te\u0301"]) == tokenizer.encode(["été"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "word"}, "words, whitespace, characters, bpe, unigram, got 'word'"),
        ({"min_freq": 0}, "min_freq must be at least 1, got 0"),
        ({"max_vocab_size": 0}, "max_vocab_size must be at least 1, got 0"),
    ],
)
def test_an_invalid_option_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TokenizerConfig(**settings)
