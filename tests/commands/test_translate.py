"""Interactive translation: input lines and their presentation."""

import io

import pytest

from rnn_lab.commands.translate import _lines, format_translations


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("stdin", "prompt"), [(io.StringIO, ""), (Terminal, "> > > ")])
def test_lines_are_read_with_a_prompt_only_on_a_terminal(stdin, prompt, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", stdin("one\n two \n"))
    assert list(_lines()) == ["one", " two "]
    assert capsys.readouterr().err == prompt


def test_a_single_translation_is_shown_without_its_score():
    assert format_translations({"translation": "ein Hund", "score": -1.0}) == ["ein Hund"]


def test_several_translations_are_shown_with_their_scores():
    translations = [
        {"translation": "ein Hund", "score": -1.0},
        {"translation": "Hund", "score": -12.5},
    ]
    lines = format_translations({"translations": translations})
    assert lines == ["  -1.000  ein Hund", " -12.500  Hund"]


def test_attention_lists_source_words_by_weight_above_the_minimum():
    answer = {
        "translation": "ein Hund",
        "words": {"source": ["a", "dog", "."], "target": ["ein", "Hund"]},
        "weights": [[0.7, 0.25, 0.05], [0.09, 0.9, 0.01]],
    }
    assert format_translations(answer) == [
        "ein Hund",
        "  ein   a 0.70  dog 0.25",
        "  Hund  dog 0.90",
    ]
