import pytest

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
    "",
]


@pytest.mark.parametrize("text", TEXTS)
def test_joining_undoes_the_separation_of_words(text):
    assert join_words(" ".join(split_words(text))) == text


def test_marks_whose_place_is_unknown_keep_their_spaces():
    assert join_words("well - known") == "well - known"
    assert join_words('a " b') == 'a " b'
