"""Attention maps."""

import io
from itertools import pairwise

import numpy as np
import pytest
import torch

from rnn_lab.tasks.translation.plots import attention_map


def drawn(figure):
    file = io.BytesIO()
    figure.savefig(file, dpi=30)
    assert file.getvalue().startswith(b"\x89PNG")
    return figure


def labels_of(figure):
    axes = figure.axes[0]
    ticks = axes.get_xticklabels(), axes.get_yticklabels()
    return [[tick.get_text() for tick in side] for side in ticks]


def even(source, target):
    return np.full((len(target), len(source)), 1 / len(source))


@pytest.mark.parametrize(("steps", "time"), [(1, 1), (1, 60), (60, 1), (60, 4), (12, 15)])
def test_an_attention_map_has_a_row_per_target_and_a_column_per_source_token(steps, time):
    source, target = [f"word{i}" for i in range(time)], [f"Wort{i}" for i in range(steps)]
    figure = drawn(attention_map(even(source, target), source, target))
    assert labels_of(figure) == [source, target]
    assert figure.axes[0].images[0].get_array().shape == (steps, time)


@pytest.mark.slow
def test_a_long_attention_map_fits_a_page():
    words = [f"word{i}" for i in range(200)]
    assert max(drawn(attention_map(even(words, words), words, words)).get_size_inches()) < 30


def test_weights_of_a_model_are_plotted_unchanged():
    weights = torch.rand(3, 2)
    image = drawn(attention_map(weights, ["a", "b"], ["c", "d", "e"])).axes[0].images[0]
    assert np.array_equal(image.get_array(), weights.double())


def test_zero_weights_are_plotted():
    drawn(attention_map(np.zeros((1, 2)), ["a", "b"], ["c"]))


def test_long_words_are_shortened():
    source, target = ["Donaudampfschifffahrt"], ["antidisestablishment"]
    shown = labels_of(drawn(attention_map([[1.0]], source, target)))
    assert shown == [["Donaudampfschifff…"], ["antidisestablishm…"]]


@pytest.mark.parametrize(
    ("source", "angles"),
    [(["a", "man", "<eos>"], [45, 45, 45]), (["2", "1", "<eos>"], [0, 0, 90])],
)
def test_words_are_rotated_and_single_characters_are_not(source, angles):
    ticks = drawn(attention_map([[0.2, 0.3, 0.5]], source, ["x"])).axes[0].get_xticklabels()
    assert [tick.get_rotation() for tick in ticks] == angles


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("مرحبا", "مرحبا"),
        ("größer", "größer"),
        ("▁man", "▁man"),
        ("$5 or $6", "$5␣or␣$6"),
        (" ", "␣"),
        ("a\u200d\x00b", "ab"),
        ("\U0001fae8", "□"),  # too new for any font on the list
        ("", ""),
    ],
)
def test_every_script_is_plotted_without_a_warning(label, shown):
    assert labels_of(drawn(attention_map([[1.0]], [label], [label]))) == [[shown], [shown]]


def test_chinese_is_plotted_without_a_warning_for_any_installed_fonts():
    drawn(attention_map(even("我们在这里", "us"), list("我们在这里"), list("us")))


def test_missing_glyphs_are_taken_from_the_next_font(monkeypatch):
    monkeypatch.setattr(
        "rnn_lab.tasks.translation.plots.FONTS", ("STIXSizeOneSym", "no such font", "DejaVu Sans")
    )
    assert labels_of(drawn(attention_map([[1.0]], ["Ж"], ["(ß)"]))) == [["Ж"], ["(ß)"]]


@pytest.mark.parametrize(("source", "target"), [(["a"], ["b"]), ([], []), (["a", "b"], [])])
def test_weights_of_the_wrong_shape_are_refused(source, target):
    with pytest.raises(ValueError, match="weights must have shape"):
        attention_map(np.zeros((len(target), 2)), source, target)


def test_a_map_has_a_title_and_names_of_its_axes():
    figure = drawn(attention_map([[1.0]], ["a"], ["b"], "weights of the first sentence"))
    axes = figure.axes[0]
    assert figure.get_suptitle() == "weights of the first sentence"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("source", "translation")
    box = figure._suptitle.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.x1


@pytest.mark.parametrize("count", [3, 30, 90])
def test_labels_of_a_long_sentence_do_not_overlap(count):
    words = [f"Straße{i}" for i in range(count)]
    figure = attention_map(even(words, words), words, words)
    figure.canvas.draw()
    axes = figure.axes[0]
    boxes = [tick.get_window_extent() for tick in axes.get_yticklabels()]
    assert all(above.y0 >= below.y1 for above, below in pairwise(boxes))
    step = np.diff(axes.transData.transform([(0, 0), (1, 0)])[:, 0])[0]
    size = axes.get_xticklabels()[0].get_fontsize() * figure.dpi / 72  # pixels
    assert step >= size * 2**0.5  # the distance between labels that are rotated by 45 degrees
