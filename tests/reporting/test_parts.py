"""Texts of parts: forbidden characters, long cells."""

from rnn_lab.reporting.parts import clean, shortened


def test_characters_that_a_page_must_not_contain_are_replaced():
    assert clean("a\x00\ud800\n\té") == "a��\n\té"


def test_long_texts_are_cut():
    assert shortened("abc", 3) == "abc"
    assert shortened("abcd", 3) == "ab…"
