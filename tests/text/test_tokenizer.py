import io
import pickle
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from rnn_lab.errors import UserError
from rnn_lab.special_tokens import PAD_ID, UNK_ID
from rnn_lab.text import tokenizer as vocabulary
from rnn_lab.text.tokenizer import SPECIAL_WORDS, TextTokenizer, TokenizerConfig, split_words

TEXTS = ["a good film", "a bad film", "good , not bad", "Äpfel & été 日本"]
TOKENIZERS = ("words", "whitespace", "characters", "bpe", "unigram")


def learned(texts: list[str] = TEXTS, **settings: Any) -> TextTokenizer:
    return TextTokenizer.learn(TokenizerConfig(**settings), texts)


def read(reader: TextTokenizer, text: str) -> list[str]:
    return reader.decode(reader.encode([text])[0])


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
def test_texts_are_split_into_words_contractions_and_marks(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_raw_text_and_text_that_comes_tokenized_share_their_words() -> None:
    assert split_words("It isn't bad, it's fine.") == split_words("It is n't bad , it 's fine .")


def test_white_space_and_characters_split_as_they_say() -> None:
    spaces = learned(["it's  good,film"], tokenizer="whitespace")
    assert read(spaces, "it's  good,film") == ["it's", "good,film"]
    letters = learned(["Ab c"], tokenizer="characters", lowercase=False)
    assert read(letters, "c Ab") == ["c", " ", "A", "b"]


def test_words_are_numbered_by_how_often_they_occur_then_by_their_letters() -> None:
    assert learned(["b a a", "c b"]).words == [*SPECIAL_WORDS, "a", "b", "c"]


def test_the_order_of_texts_does_not_matter() -> None:
    assert learned(TEXTS).words == learned(TEXTS[::-1]).words


def test_case_is_dropped_only_when_asked() -> None:
    assert learned(["Good good"]).encode(["GOOD"]) == [[2]]
    kept = learned(["Good good good"], lowercase=False)
    assert kept.encode(["good Good GOOD"]) == [[2, 3, UNK_ID]]


def test_a_word_not_learned_is_the_unknown_word() -> None:
    assert learned(["good"]).encode(["good bad"]) == [[2, UNK_ID]]


def test_rare_words_are_unknown() -> None:
    assert learned(["a b", "a b c"], min_freq=2).words == [*SPECIAL_WORDS, "a", "b"]


def test_the_most_frequent_words_are_kept() -> None:
    reader = learned(["c c c b b a"], max_size=2)
    assert reader.words == [*SPECIAL_WORDS, "c", "b"]
    assert len(reader) == 4


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_a_long_text_keeps_its_head_or_its_tail(tokenizer: Any) -> None:
    whole = learned(tokenizer=tokenizer).encode(TEXTS)
    head = learned(tokenizer=tokenizer, max_length=2).encode(TEXTS)
    tail = learned(tokenizer=tokenizer, max_length=2, keep="tail").encode(TEXTS)
    assert head == [row[:2] for row in whole]
    assert tail == [row[-2:] for row in whole]


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("text", ["<pad> <unk>", "good<pad>film"])
def test_no_text_holds_padding(tokenizer: Any, text: str) -> None:
    for texts in (TEXTS, [*TEXTS, text]):
        reader = learned(texts, tokenizer=tokenizer)
        assert PAD_ID not in reader.encode([text])[0]
        assert len(set(reader.words)) == len(reader)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_a_text_without_a_word_has_no_ids(tokenizer: Any) -> None:
    assert learned(tokenizer=tokenizer).encode([""]) == [[]]
    assert learned(tokenizer=tokenizer).encode([]) == []


@pytest.mark.parametrize("at_once", [1, 3, 10_000])
def test_counts_are_exact_however_few_words_are_held(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabulary, "COUNTED_AT_ONCE", at_once)
    rng = np.random.default_rng(0)
    rows = [[f"wört{i}" for i in rng.integers(40, size=20)] for _ in range(30)]
    counted = list(vocabulary._count(rows))
    assert dict(counted) == Counter(word for row in rows for word in row)
    assert len(counted) == len(dict(counted))


def test_the_vocabulary_is_the_same_however_few_words_are_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {"min_freq": 2, "max_size": 3}
    expected = learned(TEXTS, **settings).words
    monkeypatch.setattr(vocabulary, "COUNTED_AT_ONCE", 2)
    assert learned(TEXTS, **settings).words == expected


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_a_saved_reader_reads_the_same(tokenizer: Any) -> None:
    reader = learned(tokenizer=tokenizer, max_length=5, keep="tail")
    file = io.BytesIO()
    torch.save(reader.state_dict(), file)
    file.seek(0)
    again = TextTokenizer.from_state_dict(torch.load(file, weights_only=True))
    texts = [*TEXTS, "a new film, <br />isn't it?", "<pad>", ""]
    assert again.encode(texts) == reader.encode(texts)
    assert again.settings == reader.settings
    assert again.words == reader.words


def test_byte_pairs_spell_known_and_new_words_alike() -> None:
    reader = learned(["low lower lowest new newer newest"] * 3, tokenizer="bpe", max_size=40)
    assert "".join(read(reader, "newer lowest")) == "▁newer▁lowest"
    assert "".join(read(reader, "lownew<br />WEST")) == "▁lownew▁west"
    assert len(reader) <= 40
    assert reader.encode(["low ~"])[0][-1] == UNK_ID


@pytest.mark.parametrize("tokenizer", ["bpe", "unigram"])
def test_subwords_spell_what_was_read(tokenizer: Any) -> None:
    reader = learned(["low lower lowest new newer newest"] * 9, tokenizer=tokenizer, max_size=30)
    assert "".join(read(reader, "Newer LOWEST<br />new")) == "▁newer▁lowest▁new"
    assert len(reader) <= 30
    assert UNK_ID in reader.encode(["low ~"])[0]


def test_a_checkpoint_of_the_first_release_still_reads() -> None:
    settings = {
        **{"tokenizer": "words", "lowercase": True, "min_freq": 1, "max_size": None},
        **{"max_length": 3, "keep": "tail"},
    }
    state = {"settings": settings, "words": [*SPECIAL_WORDS, "good", "film"], "bpe": None}
    reader = TextTokenizer.from_state_dict(state)
    assert reader.encode(["a b GOOD film"]) == [[UNK_ID, 2, 3]]
    assert reader.state_dict() == state


@pytest.mark.parametrize("tokenizer", ["bpe", "unigram"])
def test_a_special_word_that_is_frequent_in_texts_is_text(tokenizer: Any) -> None:
    reader = learned(["x<pad>y <pad> z"] * 20, tokenizer=tokenizer)
    assert PAD_ID not in reader.encode(["x<pad>y <PAD>"])[0]


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_a_reader_survives_pickling(tokenizer: Any) -> None:
    reader = learned([*TEXTS, "<pad>"], tokenizer=tokenizer)
    again = pickle.loads(pickle.dumps(reader))
    assert again.encode([*TEXTS, "<pad>"]) == reader.encode([*TEXTS, "<pad>"])


def test_byte_pairs_see_one_letter_in_both_of_its_spellings() -> None:
    reader = learned(["été"] * 3, tokenizer="bpe")
    assert reader.encode(["e\u0301te\u0301"]) == reader.encode(["été"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokenizer": "word"}, "words, whitespace, characters, bpe, unigram, got 'word'"),
        ({"min_freq": 0}, "min_freq must be at least 1, got 0"),
        ({"max_size": 0}, "max_size must be at least 1, got 0"),
        ({"max_length": -1}, "max_length must be at least 1, got -1"),
        ({"keep": "middle"}, "keep must be head or tail, got 'middle'"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TokenizerConfig(**settings)
