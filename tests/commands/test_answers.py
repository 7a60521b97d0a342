"""Answers of `rnn-lab predict` and the columns of the input, in every format."""

import csv
import io
import json

import pytest

from rnn_lab.commands._answers import InputColumns, rename, write_answers
from rnn_lab.core.predictor import InputRow
from rnn_lab.errors import UserError


class Lengths:
    """A predictor of the length of a text."""

    def header(self):
        return ["text", "length"]

    def row(self, answer):
        return [answer["text"], answer["length"]]

    def text(self, answer):
        return str(answer["length"])


ANSWERS = [{"text": 'a,"é', "length": 4}, {"text": "", "length": 0}]


def written(format, answers=ANSWERS, references=False, columns=None):
    file = io.StringIO()
    pairs = zip(columns or [{}] * len(answers), answers, strict=True)
    write_answers(Lengths(), pairs, format, file, references=references)
    return file.getvalue()


def test_every_format_is_written():
    assert [json.loads(line) for line in written("jsonl").splitlines()] == ANSWERS
    assert written("text") == "4\n0\n"
    assert written("csv") == 'text,length\n"a,""é",4\n,0\n'


def test_references_are_columns_of_csv():
    answer = {**ANSWERS[1], "reference": "x", "reference_score": 0.5}
    expected = "text,length,reference,reference_score\n,0,x,0.5\n"
    assert written("csv", [answer], references=True) == expected


def test_columns_of_the_input_come_first():
    columns = [{"id": 7, "length": "x"}, {"id": None, "length": "y"}]
    table = written("csv", columns=columns)
    assert table == 'id,input_length,text,length\n7,x,"a,""é",4\n,y,,0\n'
    objects = [json.loads(line) for line in written("jsonl", columns=columns).splitlines()]
    assert objects[0] == {"id": 7, "input_length": "x", **ANSWERS[0]}
    assert written("text", columns=columns) == "4\n0\n"


def test_a_column_that_the_first_row_lacks_is_refused_in_csv():
    columns = [{"id": 7}, {"id": 8, "more": 1}]
    with pytest.raises(UserError, match="a row has the column 'more', which the first lacks"):
        written("csv", columns=columns)
    assert written("csv", columns=columns[::-1]).startswith("id,more,text,length\n8,1,")


def test_a_table_without_answers_has_a_header():
    assert written("csv", []) == "text,length\n"


def test_columns_are_joined_to_answers_in_order_without_reading_ahead():
    columns = InputColumns()
    records = columns.records(InputRow(n, {"id": -n}) for n in range(3))
    joined = columns.join({"n": n} for n in records)
    assert [pair for pair in joined] == [({"id": -n}, {"n": n}) for n in range(3)]


def test_taken_names_are_renamed():
    assert rename({"a": 1, "b": 2}, ["b"]) == {"a": 1, "input_b": 2}


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1"])
def test_texts_that_spreadsheets_run_as_formulas_are_escaped_on_request(text):
    file = io.StringIO()
    answers = iter([({"id": text}, {"text": text, "length": -3})])
    write_answers(Lengths(), answers, "csv", file, escape=True)
    row = list(csv.reader(io.StringIO(file.getvalue())))[1]
    assert row == [f"'{text}", f"'{text}", "-3"]
    assert written("csv", [{"text": text, "length": 1}]).splitlines()[1].startswith(text)
