"""Preparation of files, in processes and here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rnn_lab.benchmarks import preparation
from rnn_lab.benchmarks.preparation import WAYS, Prepared
from rnn_lab.errors import UserError

KINDS = {"corpus": (["plain texts", "texts"], 5000), "table": (["plain series", "series"], 2000)}
TABLE = {"kind": "table", "size": 10}
kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.setattr(preparation.tempfile, "tempdir", str(tmp_path))


def built(kind):
    ways, size = KINDS[kind]
    return preparation.build({"kind": kind, "size": size}, ways)


@kinds
def test_all_ways_prepare_the_same(kind, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(preparation, "BATCHES", 3)
    first, second = (WAYS[name](str(each.path)) for name, each in built(kind).items())
    assert first == second
    assert first[0] > 100


def test_a_process_tells_seconds_memory_and_counts(monkeypatch, capsys):
    monkeypatch.setitem(WAYS, "texts", lambda path: [len(path)])
    preparation.main(["texts", "abc"])
    prepared = Prepared(**json.loads(capsys.readouterr().out))
    assert prepared.seconds > 0
    assert prepared.counts == [3]


def test_the_first_process_gives_values_and_memory(monkeypatch):
    (way, _) = built("table").values()
    results = iter([Prepared(1.0, 5.0, [7]), Prepared(2.0, 6.0, [7])])
    monkeypatch.setattr(way, "_prepare", lambda: next(results))
    assert way.values() == [7.0]
    assert way.megabytes("cpu") == 5.0
    assert way.run(0) == (2.0, 2000)


def test_a_failing_process_is_reported(monkeypatch):
    (way, _) = built("table").values()
    monkeypatch.setattr(preparation.sys, "executable", "false")
    with pytest.raises(UserError, match=r"^the preparation by plain series failed: no message"):
        way.run(0)


@pytest.mark.slow
def test_files_are_prepared_in_processes():
    values = [each.values() for each in built("table").values()]
    assert values[0] == values[1]


@pytest.mark.slow
def test_files_are_removed_at_the_end():
    code = f"from {preparation.__name__} import build\n"
    code += f"print(build({TABLE}, ['series'])['series'].path)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    path = Path(done.stdout.strip())
    assert path.name == "table.parquet"
    assert not path.parent.exists()
