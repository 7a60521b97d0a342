import pytest

from rnn_lab.datamodules import Multi30k
from rnn_lab.tasks.translation.detokenization import join_words
from rnn_lab.text.tokenizer import split_words

TEXTS = [
    "ein hund rennt.",
    'he said: "it isn\'t (yet) over!"',
    "what?! it's 5% (or 6%).",
    "a, b; c... d",
    "(a) [b] {c}",
    "¿qué? ¡sí!",
    'the "dog" barks, they\'re "here".',
    'a sign says "stop!" at the "end."',
    "a well-known t-shirt, black-and-white and/or red",
    "ein- und ausgang, zwei- oder dreimal",
    "it's 5 o'clock, y'all; it's the dogs' turn at terrible's.",
    "don\u2019t, it\u2019s l\u2019homme",
    "l'eau d'un chien",
    "he says 'no' to 'the best dog'.",
    "$3,000 or 2.5 of 10, 11 at 12:30",
    "7 a.m. and 5 p.m., z.B. so",
    "ein schild, auf dem \u201ehier lang\u201c steht, und \u201eda\u201c.",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
def test_joining_undoes_the_separation_of_words(text):
    assert join_words(" ".join(split_words(text))) == text


@pytest.mark.parametrize("text", ['a " b', "a ' b ; c", "- a", "1990 , 3 dogs", "5 - , x"])
def test_words_and_marks_are_the_same_after_joining(text):
    assert "".join(join_words(text).split()) == "".join(text.split())


def test_marks_whose_place_is_unknown_keep_their_spaces():
    assert join_words('a " b') == 'a " b'
    assert join_words("two ' b") == "two ' b"
    assert join_words("in 1990 , 30 dogs") == "in 1990, 30 dogs"


@pytest.mark.data
@pytest.mark.parametrize("side", ["source", "target"])
def test_nearly_all_sentences_of_multi30k_are_restored(side, data_root):
    pairs = Multi30k(root=str(data_root)).sources()["valid"]()
    texts = [" ".join(getattr(pair, side).split()) for pair in pairs]
    restored = [join_words(" ".join(split_words(text))) == text for text in texts]
    assert sum(restored) >= 0.98 * len(texts)
