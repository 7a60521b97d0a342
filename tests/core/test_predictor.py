"""Predictors answer in order, in bounded chunks, and refuse records that are no text."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from rnn_lab.core import predictor as module
from rnn_lab.core.predictor import RecordPredictor, bucket_by_length, check_data_sizes, pad_ids
from rnn_lab.errors import UserError


class LengthPredictor(RecordPredictor):
    """Predict the number of characters of a text, and record the size of each chunk."""

    columns = ("text", "length")
    line = "length"

    def __init__(self):
        self.chunk_sizes = []

    @classmethod
    def from_checkpoint(cls, task, data):
        return cls()

    def _answer(self, raw):
        self.chunk_sizes.append(len(raw))
        return [{"text": text, "length": len(text)} for text in raw]


def test_answers_are_in_order_and_no_chunk_exceeds_the_limit(monkeypatch):
    monkeypatch.setattr(module, "CHUNK_SIZE", 3)
    predictor = LengthPredictor()
    texts = ["x" * n for n in (4, 1, 3, 0, 2, 5, 1)]
    assert [answer["text"] for answer in predictor.predict(texts)] == texts
    assert predictor.chunk_sizes == [3, 3, 1]


def test_answers_are_lazy(monkeypatch):
    monkeypatch.setattr(module, "CHUNK_SIZE", 2)
    consumed = []
    answers = LengthPredictor().answers(consumed.append(n) or "x" * n for n in range(100))
    next(answers)
    assert consumed == [0, 1]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one text", "takes a list of texts, got one string"),
        ({"text": ["a"]}, "takes a list of texts, got a dict: give one of its columns"),
        (pd.DataFrame({"text": ["a"]}), "got a DataFrame: give one of its columns"),
        (["a", 3], "texts must be strings, got 3"),
        (["\udce9"], "a text is not utf-8"),
    ],
)
def test_records_that_are_no_text_are_refused(texts, message):
    with pytest.raises(UserError, match=message):
        LengthPredictor().predict(texts)


def test_a_column_of_a_table_is_answered_like_a_list():
    answers = LengthPredictor().predict(pd.DataFrame({"text": ["a", "bcd"]})["text"])
    assert [answer["length"] for answer in answers] == [1, 3]


def test_rows_have_the_columns_of_the_header():
    predictor = LengthPredictor()
    (answer,) = predictor.predict(["abc"])
    assert dict(zip(predictor.header(), predictor.row(answer), strict=True)) == answer


@pytest.mark.parametrize(("value", "text"), [(1 / 3, "0.333333"), ("x", "x"), (None, "")])
def test_a_line_of_text_rounds_numbers_and_replaces_none(value, text):
    assert LengthPredictor().text({"length": value}) == text


@pytest.mark.parametrize(
    ("name", "format", "texts"),
    [
        ("a.log", None, ["one", "two"]),
        ("a.csv", None, ["one"]),
        ("a.csv", "txt", ["text", "one"]),
    ],
)
def test_a_file_is_read_by_its_format_or_its_suffix(name, format, texts, tmp_path):
    content = {"a.log": "one\ntwo\n", "a.csv": "text\none\n"}[name]
    (tmp_path / name).write_text(content)
    options = {"format": format, "text_column": "text", "encoding": "utf-8"}
    rows = LengthPredictor.read(str(tmp_path / name), **options)
    assert [row.record for row in rows] == texts


@pytest.mark.parametrize("max_steps", [1, 30, 100, 10**6])
def test_buckets_hold_every_row_once_within_the_limit(max_steps):
    lengths = np.random.default_rng(0).integers(1, 40, 200).tolist()
    batches = list(bucket_by_length(lengths, max_steps))
    assert sorted(row for batch in batches for row in batch) == list(range(200))
    for batch in batches:
        padded_steps = len(batch) * max(lengths[row] for row in batch)
        assert len(batch) == 1 or padded_steps <= max_steps


def test_ids_are_padded_on_the_right_and_lengths_kept():
    ids, lengths = pad_ids([[5, 6, 7], [8]])
    assert torch.equal(ids, torch.tensor([[5, 6, 7], [8, 0, 0]]))
    assert lengths.tolist() == [3, 1]


def test_a_size_that_differs_from_the_stored_data_is_refused():
    task = SimpleNamespace(hparams={"num_classes": 2})
    check_data_sizes(task, num_classes=["no", "yes"], vocab_size=["a"])
    with pytest.raises(UserError, match="num_classes is 2, but the data has 3"):
        check_data_sizes(task, num_classes=["a", "b", "c"])
