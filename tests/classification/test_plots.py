"""Plots of confusion matrices."""

import io

import numpy as np
import pytest

from rnn_lab.classification.plots import confusion_matrices, confusion_matrix, short_names


def render(figure):
    file = io.BytesIO()
    figure.savefig(file, dpi=30)
    assert file.getvalue().startswith(b"\x89PNG")
    return figure


@pytest.mark.parametrize("classes", [2, 6, 12])
def test_the_plot_has_every_class_and_every_count(classes):
    matrix = np.arange(classes**2).reshape(classes, classes) + 1
    axes = render(confusion_matrix(matrix, [f"class {i}" for i in range(classes)])).axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [
        f"class {i}" for i in range(classes)
    ]
    assert len(axes.texts) == classes**2
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")


def test_classes_without_examples_are_plotted():
    assert (
        "accuracy 0.0% (n = 0)"
        in render(confusion_matrix([[0, 0], [0, 0]], "ab")).axes[0].get_title()
    )


def test_a_matrix_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"expected a matrix of shape \(3, 3\), got \(2, 2\)"):
        confusion_matrix([[1, 0], [0, 1]], "abc")


@pytest.mark.parametrize("labels", [1, 4, 7, 40])
def test_each_label_of_multi_label_data_has_a_matrix(labels):
    matrices = np.arange(labels * 4).reshape(labels, 2, 2)
    figure = render(confusion_matrices(matrices, [f"label {i}" for i in range(labels)]))
    shown = [axes for axes in figure.axes if axes.get_visible()]
    first = max(labels - 36, 0)  # the labels with most errors are shown
    assert [axes.get_title() for axes in shown] == [f"label {i}" for i in range(first, labels)]
    numbers = [text.get_text() for text in shown[-1].texts]
    assert numbers == [f"{count:,}" for count in matrices[-1].ravel()]
    assert ("36 of 40 labels" in figure.get_suptitle()) == (labels == 40)
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("predicted", "true")


def test_one_matrix_for_two_labels_is_refused():
    with pytest.raises(ValueError, match=r"expected shape \(2, 2, 2\), got \(1, 2, 2\)"):
        confusion_matrices(np.zeros((1, 2, 2), int), "ab")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (["a class of many words", "b"], ["a class of many w…", "b"]),
        (
            [f"a class of many words, number {i}: and more words" for i in range(2)] + ["b"],
            ["…0: and more words", "…1: and more words", "b"],
        ),
        (["x" * 30 + "y", "x" * 30 + "z"], ["1: xxxxxxxxxxxxxx…", "2: xxxxxxxxxxxxxx…"]),
    ],
)
def test_shortened_names_of_classes_are_distinct(labels, expected):
    assert short_names(labels) == expected
