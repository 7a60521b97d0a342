"""Fields of records: labels and the objects that hold them."""

import pytest

from rnn_lab.errors import UserError
from rnn_lab.io.record_fields import Record, RecordOptions, record_of_json, record_of_object


def test_an_object_has_text_labels_and_other_columns() -> None:
    options = RecordOptions("file", text_column=["title", "body"], keep_columns=True)
    entry = {"title": "a", "label": 1, "body": "b", "id": 7}
    assert record_of_object(entry, "line 1", options) == Record(
        "a b", ("1",), {"label": 1, "id": 7}
    )


@pytest.mark.parametrize(("value", "labels"), [("1.0", ("1",)), ('["a ", 2]', ("a", "2"))])
def test_labels_are_text_without_blanks(value: str, labels: tuple[str, ...]) -> None:
    line = f'{{"text": "x", "label": {value}}}'
    assert record_of_json(line, "line 1", RecordOptions("file")).labels == labels


@pytest.mark.parametrize("value", ["null", "NaN", '""', '" "'])
def test_a_missing_label_is_an_error_unless_it_is_allowed(value: str) -> None:
    line = f'{{"text": "x", "label": {value}}}'
    allowed = RecordOptions("file", allow_unlabeled=True)
    assert record_of_json(line, "line 1", allowed) == Record("x", ())
    with pytest.raises(UserError, match="line 1: "):
        record_of_json(line, "line 1", RecordOptions("file"))
