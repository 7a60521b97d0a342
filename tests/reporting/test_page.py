"""The page: valid HTML without references to other files, for whole and for damaged runs."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from saved_runs import LABELS, accuracy_run, classified, experiment, write_run

from rnn_lab.errors import UserError
from rnn_lab.io.run_files import runs_below
from rnn_lab.reporting.page import Choice, render

VOID = {"meta", "img", "br", "wbr", "link", "input", "hr"}
HOSTILE = "<script>alert(1)</script>\x00&\"'"


class Page(HTMLParser):
    """Checks that tags are balanced, and collects names, identifiers and addresses."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.addresses = [], set(), [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.ids += [value for name, value in attributes if name == "id"]
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check(text):
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    for address in page.addresses:
        assert address.startswith("data:image/png;") or address[1:] in page.ids
    outside = [name for name in re.findall(r"url\(([^)]*)\)", text) if name[1:] not in page.ids]
    assert outside == []
    assert not {"script", "link", "iframe", "object"} & page.tags
    if tidy := shutil.which("tidy"):
        done = subprocess.run(
            [tidy, "-q", "-e", "-utf8"], input=text, capture_output=True, text=True, check=False
        )
        assert done.stderr == ""
    return page


def test_one_run(tmp_path):
    text = render([accuracy_run(tmp_path / "a", 0.8)])
    check(text)
    assert "<h1>a</h1>" in text
    assert "95 % interval" in text


def test_several_runs_are_compared(tmp_path):
    experiment(tmp_path / "runs", {"GRU": [0.8, 0.82], "LSTM": [0.7, 0.72]})
    text = render(sorted(runs_below(tmp_path / "runs")), Choice(["model.layer"], against="LSTM"))
    page = check(text)
    assert {"run-1", "run-4"} < {*page.ids}
    assert "paired bootstrap" in text


def test_ten_runs_are_small(tmp_path):
    runs = [accuracy_run(tmp_path / str(n), 0.8, rows=1000, seed=n) for n in range(10)]
    assert len(render(runs).encode()) < 5e6


def test_texts_of_users_stay_texts(tmp_path):
    table = classified(0.8)
    names = {LABELS[0]: HOSTILE, LABELS[1]: "$\\frac"}
    table |= {key: [names[each] for each in table[key]] for key in ("target", "prediction")}
    table["probability"] = [0.5] * 200
    runs = [
        write_run(
            tmp_path / f"{layer[:1]}<b>{n}", model={"layer": layer}, scores={"accuracy": 0.8},
            table=table,
        )
        for n, layer in enumerate((HOSTILE, "GRU"))
    ]  # fmt: skip
    row = '1,"<img src=x onerror=alert(1)>",a,b,0.5\n'
    (runs[0] / "misclassified.csv").write_text("row,text,truth,predicted,probability\n" + row)
    text = render(runs)
    check(text)
    assert "&lt;script&gt;alert(1)" in text
    assert "\x00" not in text


def test_empty_and_killed_runs_are_shown_with_what_is_missing(tmp_path):
    for name in ("empty", "killed"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
    (tmp_path / "killed" / "metrics.csv").write_text("step,val/loss\n1,2\n2,1")
    runs = [tmp_path / "empty", tmp_path / "killed", accuracy_run(tmp_path / "c", 0.8)]
    for folders in ([runs[0]], [runs[1]], runs):
        text = render(folders)
        check(text)
        assert "What is missing" in text
    assert "Not compared: " in text


def test_a_comparison_that_was_asked_for_must_be_possible(tmp_path):
    runs = [accuracy_run(tmp_path / str(n), 0.8, seed=n) for n in range(2)]
    with pytest.raises(UserError, match="--metric=f2 is not one of those"):
        render(runs, Choice(metric="f2"))
