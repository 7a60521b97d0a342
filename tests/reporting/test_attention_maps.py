"""Attention weights of saved sentences as SVG."""

import json

import pytest

from rnn_lab.reporting.attention_maps import attention_map, attention_maps

SENTENCE = {"source": ["ein", "<b>"], "target": ["a"], "weights": [[0.25, 0.75]], "cut": False}


def save(folder, split, content):
    (folder / "attention").mkdir(exist_ok=True)
    (folder / "attention" / f"{split}.json").write_text(json.dumps(content))


def test_tokens_and_weights_are_drawn():
    svg = attention_map(SENTENCE["source"], SENTENCE["target"], SENTENCE["weights"])
    assert svg.count("<rect") == 2
    assert 'fill-opacity="1.0"' in svg  # the largest weight
    assert 'fill-opacity="0.333"' in svg
    assert "<title>0.25: a, ein" in svg
    assert "&lt;b&gt;" in svg
    assert "<b>" not in svg


def test_weights_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="must have shape"):
        attention_map(["a"], ["b"], [[0.5, 0.5]])


def test_the_test_comes_before_the_validation(tmp_path):
    assert attention_maps(tmp_path) == []
    save(tmp_path, "valid", {"sentences": [SENTENCE, SENTENCE]})
    assert len(attention_maps(tmp_path)) == 2
    save(tmp_path, "test", {"sentences": [{**SENTENCE, "cut": True}]})
    caption = attention_maps(tmp_path)[0].caption
    assert "the first 1 by 2 tokens" in caption
    assert "at most 0.75" in caption


def test_weights_of_zero_are_drawn():
    assert 'fill-opacity="0.0"' in attention_map(["a"], ["b"], [[0.0]])


@pytest.mark.parametrize("content", [{}, {"sentences": [{}]}, {"sentences": 3}])
def test_damaged_files_have_no_map(content, tmp_path):
    save(tmp_path, "test", content)
    assert attention_maps(tmp_path) == []
