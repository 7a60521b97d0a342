"""The confusion matrix as a figure."""

import io

import numpy as np
import pytest

from rnn_lab.classification.plots import confusion_matrix


def drawn(figure):
    file = io.BytesIO()
    figure.savefig(file, dpi=30)
    assert file.getvalue().startswith(b"\x89PNG")
    return figure


@pytest.mark.parametrize("classes", [2, 6, 12])
def test_confusion_matrix_names_every_class_and_writes_every_count(classes):
    matrix = np.arange(classes**2).reshape(classes, classes) + 1
    axes = drawn(confusion_matrix(matrix, [f"class {i}" for i in range(classes)])).axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [
        f"class {i}" for i in range(classes)
    ]
    assert len(axes.texts) == classes**2
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")


def test_confusion_matrix_of_a_class_never_seen_is_drawn():
    assert "0.0% of 0 right" in drawn(confusion_matrix([[0, 0], [0, 0]], "ab")).axes[0].get_title()


def test_labels_that_do_not_fit_the_matrix_are_refused():
    with pytest.raises(ValueError, match=r"3 labels do not fit a matrix of shape \(2, 2\)"):
        confusion_matrix([[1, 0], [0, 1]], "abc")
