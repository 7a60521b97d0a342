"""The parts of `rnn-lab predict` that do not depend on the task: formats, devices, order."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from command_line import BEST, run

from rnn_lab.commands import predict
from rnn_lab.commands.predict import _in_order, _output_format
from rnn_lab.errors import UserError
from rnn_lab.io.chunks import chunks


@pytest.mark.parametrize(
    ("format", "path", "expected"),
    [
        (None, None, "jsonl"),
        (None, "a.jsonl", "jsonl"),
        (None, "a.csv", "csv"),
        (None, "a.txt", "text"),
        ("csv", None, "csv"),
        ("text", "a.dat", "text"),
    ],
)
def test_the_output_format_is_explicit_or_inferred(format, path, expected):
    assert _output_format(format, path and Path(path)) == expected


def test_an_unknown_output_format_is_reported():
    with pytest.raises(
        UserError, match=r"--output must end in \.jsonl, \.csv or \.txt, got a\.dat"
    ):
        _output_format(None, Path("a.dat"))
    with pytest.raises(UserError, match="--format must be jsonl, csv, text, got xml"):
        _output_format("xml", None)


def test_predictions_of_several_workers_are_in_order_and_bounded(monkeypatch):
    first_chunk_may_finish = threading.Event()
    consumed = []

    def texts():
        for i in range(50):
            consumed.append(i)
            yield str(i)

    def predict_chunk(chunk):
        if chunk[0] == "0":
            first_chunk_may_finish.wait(10)
        else:
            first_chunk_may_finish.set()
        return [{"text": text} for text in chunk]

    monkeypatch.setattr(predict, "_predict_chunk", predict_chunk)
    with ThreadPoolExecutor(2) as pool:
        answers = _in_order(pool, chunks(texts(), 3), ahead=4)
        assert next(answers) == {"text": "0"}
        assert len(consumed) == 12
        assert [answer["text"] for answer in answers] == [str(i) for i in range(1, 50)]


def test_results_of_several_workers_wait_for_no_further_input(monkeypatch):
    def texts():
        yield from "abcd"
        raise UserError("line 5 is damaged")

    monkeypatch.setattr(predict, "_predict_chunk", lambda chunk: [{"text": text} for text in chunk])
    with ThreadPoolExecutor(2) as pool:
        first = _in_order(pool, chunks(texts(), 2), ahead=4, ready=lambda: False)
        assert next(first) == {"text": "a"}
        answers = []
        with pytest.raises(UserError, match="line 5 is damaged"):
            list(map(answers.append, _in_order(pool, chunks(texts(), 2), ahead=9)))
    assert [answer["text"] for answer in answers] == list("abcd")


@pytest.mark.parametrize("is_terminal", [True, False], ids=["terminal", "pipe"])
@pytest.mark.parametrize("typed", [True, False], ids=["typed", "file"])
def test_progress_changes_no_answer_and_is_never_on_standard_output(
    is_terminal, typed, monkeypatch, capsys
):
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal)
    answers = [{"text": str(number)} for number in range(5)]
    shown = predict._with_progress(iter(answers), typed=typed, shown=True)
    assert list(shown) == answers
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id;text\n7;fine\n", "1 prediction -> answers.csv"),
        ("id;text\n", "new.csv has no rows: there are no predictions"),
    ],
    ids=["a row", "only a header"],
)
def test_the_number_of_predictions_is_told(content, message, trained, capsys):
    Path("new.csv").write_text(content)
    assert run("predict", "--ckpt_path", BEST, "--input=new.csv", "--output=answers.csv") == 0
    assert capsys.readouterr().err.splitlines()[-1] == message
