"""Tokenizers for translation."""

import io
import pickle
from typing import Any

import pytest
import torch

from rnn_lab.errors import UserError
from rnn_lab.special_tokens import BOS_ID, EOS_ID, PAD_ID, UNK_ID
from rnn_lab.tasks.translation.tokenizer import (
    PAIR_TOKENS,
    SentenceTokenizer,
    SentenceTokenizerConfig,
    TranslationTokenizer,
    normalize,
)

ENGLISH = ["A dog isn't here, is it?", "two  dogs run over 3,000 hills", "Caf\u00e9 t-shirt - x"]
GERMAN = [
    "Ein Hund ist hier , oder ?",
    "zwei Hunde\u2028laufen \u00fcber H\u00fcgel.",
    "Stra\u00dfe",
]
TOKENIZERS = ("words", "whitespace", "characters", "bpe", "unigram")
LANGUAGES = (None, "en", "de")


def settings(**options: Any) -> SentenceTokenizerConfig:
    return SentenceTokenizerConfig(**{"lowercase": False, **options})


def learned(texts: list[str], **options: Any) -> SentenceTokenizer:
    wanted = settings(**options)
    return SentenceTokenizer.learn(wanted, [normalize(text, wanted) for text in texts])


def pair(tokenizer: Any, joint: bool) -> TranslationTokenizer:
    source, target = settings(kind=tokenizer, moses="en"), settings(kind=tokenizer)
    sides = [
        [normalize(text, source) for text in ENGLISH],
        [normalize(text, target) for text in GERMAN],
    ]
    return TranslationTokenizer.learn(source, target, *sides, joint=joint)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_decoding_ids_restores_the_normalized_text(tokenizer: Any, language: str | None) -> None:
    texts = [*ENGLISH, *GERMAN, "a \u2581 b", " \t "]
    reader = learned(texts, kind=tokenizer, moses=language)
    for text, ids in zip(texts, reader.encode(texts), strict=True):
        assert reader.decode_normalized(ids) == reader.normalize(text)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_encoding_raw_text_equals_encoding_normalized_text(tokenizer: Any) -> None:
    reader = learned(ENGLISH, kind=tokenizer, lowercase=True, moses="en")
    normal = list(map(reader.normalize, ENGLISH))
    assert reader.encode(ENGLISH) == reader.encode_normalized(normal)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_text_is_lowercased_only_on_request(tokenizer: Any) -> None:
    lower = learned(ENGLISH, kind=tokenizer, lowercase=True)
    assert lower.encode(["TWO dogs"]) == lower.encode(["two DOGS"])
    assert lower.normalize("TWO") == "two"
    cased = learned(ENGLISH, kind=tokenizer)
    assert cased.encode(["TWO dogs"]) != cased.encode(["two dogs"])


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_unicode_is_composed(tokenizer: Any) -> None:
    reader = learned(["caf\u00e9"] * 3, kind=tokenizer)
    assert reader.encode(["cafe\u0301"]) == reader.encode(["caf\u00e9"])


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("A man, a plan.", "en", "A man , a plan ."),
        ("It isn\u2019t 3,000 \u2013 \u201cok\u201d", "en", 'It isn \'t 3,000 - " ok "'),
        ("a t-shirt & <b>", "en", "a t-shirt & < b >"),
        ("l'homme", "fr", "l' homme"),
        ("ca. 120 cm.", "de", "ca. 120 cm ."),
        ("  a\u2028b\tc  ", "de", "a b c"),
    ],
)
def test_moses_rules_separate_punctuation(text: str, language: str, expected: str) -> None:
    assert normalize(text, settings(kind="bpe", moses=language)) == expected


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("A man, a plan.", "en"),
        ('"Yes," he said: it\'s 3,000 (or so)!', "en"),
        ("l'homme dit : non !", "fr"),
        ("Zwei M\u00e4nner, ca. 120 cm gro\u00df.", "de"),
    ],
)
def test_detokenizing_undoes_the_moses_rules(text: str, language: str) -> None:
    reader = learned([text], kind="bpe", moses=language)
    assert reader.detokenize(reader.normalize(text)) == text


def test_without_moses_rules_detokenizing_changes_nothing() -> None:
    assert learned(ENGLISH, kind="bpe").detokenize("it 's me .") == "it 's me ."


def test_words_of_the_moses_rules_are_not_split_further() -> None:
    reader = learned(["it isn't 3,000"], kind="words", moses="en")
    assert set(reader.words) - set(PAIR_TOKENS) == {"it", "isn", "'t", "3,000"}


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_special_tokens_are_neither_encoded_nor_decoded(tokenizer: Any) -> None:
    text = "x<bos>y <pad> <eos> z"
    reader = learned([text, *ENGLISH] * 5, kind=tokenizer)
    assert not {PAD_ID, BOS_ID, EOS_ID} & set(reader.encode([text])[0])
    (ids,) = reader.encode([ENGLISH[0]])
    assert reader.decode_normalized([BOS_ID, *ids, EOS_ID, PAD_ID]) == reader.decode_normalized(ids)
    assert reader.words[:4] == PAIR_TOKENS


def test_unknown_words_are_decoded_as_unk() -> None:
    assert learned(ENGLISH, kind="words").decode_normalized([UNK_ID, UNK_ID]) == "<unk> <unk>"
    reader = learned(ENGLISH, kind="bpe")
    assert reader.decode_normalized(reader.encode(["dog \u65e5"])[0]) == "dog <unk>"


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_restored_tokenizers_encode_the_same(tokenizer: Any, joint: bool) -> None:
    reader = pair(tokenizer, joint)
    file = io.BytesIO()
    torch.save(reader.state_dict(), file)
    file.seek(0)
    loaded = TranslationTokenizer.from_state_dict(torch.load(file, weights_only=True))
    for again in (loaded, pickle.loads(pickle.dumps(reader))):
        assert again.joint == joint
        texts = [*ENGLISH, *GERMAN, "<pad> new", ""]
        assert again.encode_sources(texts) == reader.encode_sources(texts)
        assert again.encode_targets(texts) == reader.encode_targets(texts)
        for side in ("source", "target"):
            assert getattr(again, side).words == getattr(reader, side).words
            assert getattr(again, side).settings == getattr(reader, side).settings


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_a_joint_vocabulary_is_learned_from_both_languages_and_stored_once(tokenizer: Any) -> None:
    joint, apart = pair(tokenizer, joint=True), pair(tokenizer, joint=False)
    assert joint.source.words is joint.target.words
    letters = [set("".join(reader.words)) for reader in (apart.source, apart.target)]
    assert set("".join(joint.source.words)) == letters[0] | letters[1]
    assert "\u00fc" not in letters[0]
    assert "words" not in joint.state_dict()["target"]
    assert joint.target.settings.moses is None
    assert joint.source.settings.moses == "en"


def test_sources_have_an_end_token_and_targets_start_and_end_tokens() -> None:
    reader = pair("words", joint=False)
    (source,), (target,) = reader.encode_sources(["A dog"]), reader.encode_targets(["Ein Hund"])
    assert source == [*reader.source.encode(["A dog"])[0], EOS_ID]
    assert target == [BOS_ID, *reader.target.encode(["Ein Hund"])[0], EOS_ID]
    assert reader.encode_sources(["", " \t"]) == [[EOS_ID], [EOS_ID]]
    assert reader.encode_targets([""]) == [[BOS_ID, EOS_ID]]
    assert reader.encode_sources([]) == []


@pytest.mark.parametrize("language", ["", "en_US", "EN", "English"])
def test_invalid_language_codes_are_refused(language: str) -> None:
    with pytest.raises(UserError, match=f"codes such as en or de, got '{language}'"):
        settings(moses=language)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_subwords_are_joined_to_words_and_other_tokens_are_words(tokenizer: Any) -> None:
    reader = learned(ENGLISH, kind=tokenizer, max_vocab_size=40)
    ids = [*reader.encode(["two dogs ruß"])[0], EOS_ID]
    words, starts = reader.whole_words(ids), reader.word_starts(ids)
    assert len(words) == len(starts)
    if tokenizer in ("bpe", "unigram"):
        assert words == ["two", "dogs", "ru<unk>", "<eos>"]
        firsts = [reader.words[ids[position]] for position in starts]
        assert all(first.startswith("\u2581") for first in firsts[:-1])
    else:
        assert starts == list(range(len(ids)))
        assert words == [reader.words[i] for i in ids]


def test_the_mark_of_subwords_is_an_ordinary_word_without_them() -> None:
    reader = learned(["a ▁ b"], kind="whitespace")
    assert reader.whole_words(reader.encode(["a ▁"])[0]) == ["a", "▁"]
