"""A subword model is restored exactly; other parts or a wrong vocabulary are refused."""

import json

import pytest

from rnn_lab.errors import UserError
from rnn_lab.tasks.language_modeling.tokenizer import LMTokenizer
from rnn_lab.tasks.text_classification.tokenizer import TruncatingTokenizer
from rnn_lab.tasks.translation.tokenizer import SentenceTokenizer
from rnn_lab.text import subwords as module
from rnn_lab.text.subwords import learn_subwords, restore_subwords
from rnn_lab.text.tokenizer import SPECIAL_TOKENS, SUBWORDS, TextTokenizer, TokenizerConfig

TEXTS = ["a good film<br />and more", "a bad film", "good , not bad <unk> <pad>", "Äpfel & été"] * 5
CLASSES = (TextTokenizer, TruncatingTokenizer, LMTokenizer, SentenceTokenizer)


def learn(kind, cls=TextTokenizer, **options):
    return cls.learn(cls.settings_class(kind=kind, max_vocab_size=60, **options), TEXTS)


def restored(tokenizer, serialized):
    special, kind = tokenizer.special_tokens, tokenizer.settings.kind
    normalizer = tokenizer.normalizer(tokenizer.settings)
    return restore_subwords(kind, serialized, tokenizer.words, special, normalizer)


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("kind", SUBWORDS)
def test_a_restored_model_equals_the_learned_one(kind, cls, lowercase):
    tokenizer = learn(kind, cls, lowercase=lowercase)
    again = restored(tokenizer, tokenizer.subwords)
    assert json.loads(again.to_str()) == json.loads(tokenizer.subwords)


def test_an_unknown_subword_model_is_not_restored_for_words():
    state = learn("bpe").state_dict()
    for changed in ({"subwords": None}, {"settings": {"kind": "words"}}):
        with pytest.raises(UserError, match="has the wrong subword model"):
            TextTokenizer.from_state_dict({**state, **changed})


@pytest.mark.parametrize("words", [3, None, "text", [1], [["a"]], {"a": 1}])
def test_a_vocabulary_that_is_no_list_of_strings_is_refused(words):
    with pytest.raises(UserError, match="not a list of strings"):
        TextTokenizer.from_state_dict({"settings": {}, "words": words, "subwords": None})


def test_learning_sorts_the_subwords_of_unigram_models():
    special = [*SPECIAL_TOKENS]
    model = learn_subwords("unigram", TEXTS, special, None, vocab_size=40, min_freq=1)
    pieces = [piece for piece, _ in json.loads(model.to_str())["model"]["vocab"]]
    assert pieces[:2] == special
    assert pieces[2:] == sorted(pieces[2:])


@pytest.mark.parametrize("kind", SUBWORDS)
def test_every_word_has_one_id_if_a_special_token_is_frequent_in_texts(kind):
    tokenizer = TextTokenizer.learn(TokenizerConfig(kind=kind), ["x<pad>y <pad> z"] * 20)
    assert len(set(tokenizer.words)) == len(tokenizer)
    ids = tokenizer.encode(["x<pad>y <pad> z"])[0]
    assert max(ids) < len(tokenizer)
    assert "".join(tokenizer.words[i] for i in ids if i != 1).startswith("▁x")


REPLACE = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}
PARTS = {
    "padding": {"strategy": {"Fixed": 2_000_000_000}, "direction": "Right", "pad_id": 0,
                "pad_to_multiple_of": None, "pad_type_id": 0, "pad_token": "x"},
    "truncation": {"max_length": 1, "strategy": "LongestFirst", "stride": 9, "direction": "Right"},
    "normalizer": {"type": "Sequence", "normalizers": [REPLACE] * 3},
    "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Removed",
                      "invert": False},
    "post_processor": {"type": "TemplateProcessing", "single": [], "pair": [],
                       "special_tokens": {}},
    "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    "added_tokens": [],
}  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_a_model_with_another_part_is_refused_by_its_name(part):
    tokenizer = learn("bpe")
    state = json.loads(tokenizer.subwords) | {part: PARTS[part]}
    with pytest.raises(UserError, match=f"another {part} than rnn_lab uses"):
        restored(tokenizer, json.dumps(state))


def test_options_of_known_parts_are_those_of_rnn_lab():
    tokenizer = learn("bpe")
    state = json.loads(tokenizer.subwords)
    state["normalizer"]["normalizers"][0]["content"] = "a" * 1000
    state["model"]["dropout"] = 0.5
    again = restored(tokenizer, json.dumps(state))
    assert json.loads(again.to_str()) == json.loads(tokenizer.subwords)


def test_other_special_tokens_are_refused():
    tokenizer = learn("bpe")
    state = json.loads(tokenizer.subwords)
    state["added_tokens"][0]["content"] = "good"
    with pytest.raises(UserError, match="other special tokens"):
        restored(tokenizer, json.dumps(state))


def first_id(value):
    return lambda vocab: {**vocab, next(iter(vocab)): value}


INVALID = {
    ("bpe", "vocab"): [first_id(-1), first_id(2**40), first_id(1), first_id("0"), lambda _: None,
                       lambda vocab: dict(list(vocab.items())[1:]), list],
    ("bpe", "merges"): [lambda _: None, lambda _: [["q", "z"]], lambda _: ["a b"],
                        lambda _: [[1, 2]], lambda _: [["a"]], lambda _: [["a", "g", "o"]]],
    ("unigram", "vocab"): [lambda _: None, dict, lambda vocab: vocab[1:],
                           lambda vocab: [[word, float("nan")] for word, _ in vocab],
                           lambda vocab: [[word, "0"] for word, _ in vocab],
                           lambda vocab: [[i, 0.0] for i, _ in enumerate(vocab)],
                           lambda vocab: [[word, 10**400] for word, _ in vocab],
                           lambda vocab: [word for word, _ in vocab]],
}  # fmt: skip
CASES = [(kind, name, i) for (kind, name), many in INVALID.items() for i in range(len(many))]


@pytest.mark.parametrize(("kind", "name", "index"), CASES)
def test_an_invalid_vocabulary_or_merge_is_refused(kind, name, index):
    tokenizer = learn(kind)
    state = json.loads(tokenizer.subwords)
    state["model"][name] = INVALID[kind, name][index](state["model"][name])
    with pytest.raises(UserError, match="subword"):
        restored(tokenizer, json.dumps(state))


@pytest.mark.parametrize("serialized", ["", "no JSON", "[1]", "{}", "null", "[" * 100_000, 3])
def test_a_model_that_is_no_json_object_is_refused(serialized):
    with pytest.raises(UserError, match="the subword model"):
        restored(learn("bpe"), serialized)


def failing(error):
    """Return a class of models that cannot be constructed."""

    class Failing:
        def __init__(self, *_, **__):
            raise error

    return Failing


def test_a_panic_of_the_library_is_a_user_error(monkeypatch):
    class PanicException(BaseException):
        """What the library raises when its Rust code panics."""

    tokenizer = learn("bpe")
    monkeypatch.setattr(module, "_new", lambda *_: tokenizer._model)
    monkeypatch.setattr(module.models, "BPE", failing(PanicException("index out of bounds")))
    with pytest.raises(UserError, match="cannot be restored: index out of bounds"):
        restored(tokenizer, tokenizer.subwords)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_while_restoring_is_passed_on(stop, monkeypatch):
    tokenizer = learn("bpe")
    monkeypatch.setattr(module, "_new", lambda *_: tokenizer._model)
    monkeypatch.setattr(module.models, "BPE", failing(stop()))
    with pytest.raises(stop):
        restored(tokenizer, tokenizer.subwords)


@pytest.mark.parametrize("kind", SUBWORDS)
def test_the_serialized_model_is_parsed_once(kind, monkeypatch):
    tokenizer, parsed = learn(kind), []
    monkeypatch.setattr(
        module.json, "dumps", lambda *_: pytest.fail("the model is serialized again")
    )
    monkeypatch.setattr(module, "Tokenizer", counting(parsed, module.Tokenizer))
    restored(tokenizer, tokenizer.subwords)
    assert not parsed


def counting(parsed, cls):
    """Return a function like a class of tokenizers, which notes what is parsed."""

    def create(model):
        return cls(model)

    create.from_str = parsed.append
    return create
