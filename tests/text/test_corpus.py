import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnn_lab.errors import UserError
from rnn_lab.io import cache
from rnn_lab.io.ragged import RaggedArrayWriter
from rnn_lab.io.records import Record
from rnn_lab.tasks.text_classification.corpus import TextCorpus, TextCorpusBuilder
from rnn_lab.tasks.text_classification.tokenizer import TruncatingTokenizerConfig
from rnn_lab.text.corpus import DrawnSplits, RecordStore

Rows = list[tuple[str, str]]  # label, text
TRAIN = [("pos", "a good film"), ("neg", "a bad film <br /> really"), ("pos", "été 日本 !")] * 4
VALID = [("neg", "a dull film"), ("pos", "good")]


def records(rows: Rows) -> list[Record]:
    return [Record(text, (label,)) for label, text in rows]


def build(folder: Path, rows: Mapping[str, Rows], **options: Any) -> TextCorpus:
    sources = {name: (lambda some=some: records(some)) for name, some in rows.items()}
    folder.mkdir()
    TextCorpusBuilder(TruncatingTokenizerConfig(), **options).build(folder, sources)
    return TextCorpus(folder)


def prepare(folder: Path, key: Mapping[str, Any], write: Callable[[Path], None]) -> TextCorpus:
    return TextCorpus(cache.get_or_build(folder, key, write))


def texts(corpus: TextCorpus, split: str) -> list[str]:
    return [corpus.splits[split].text(row) for row in range(len(corpus.splits[split]))]


def test_a_store_returns_its_texts_and_strata(tmp_path: Path) -> None:
    rows = [((f"text {i} " + "é" * i, str(i)), i % 2) for i in range(50)]
    store = RecordStore(tmp_path, "train", ("text", "number"), rows)
    some = np.array([0, 3, 4, 49])
    assert list(store.texts["text"].read(some)) == [rows[i][0][0] for i in some]
    assert list(store.texts["number"].read(some)) == [rows[i][0][1] for i in some]
    assert store.strata == {0: 0, 1: 1}
    assert store.stratum[some].tolist() == [0, 1, 0, 1]


def test_an_empty_drawn_split_asks_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the valid split is empty: set --data\.valid"):
        build(tmp_path / "c", {"train": [("a", "x"), ("a", "y")]}, drawn=DrawnSplits(0.01))


class TestDrawnSplits:
    """Splits that are drawn from the training split."""

    ROWS = tuple(
        ("a" if i % 5 else "b", f"text {i if i % 7 else 0}") for i in range(400)
    )  # a seventh of the texts are equal

    def draw(self, folder: Path, rows: Iterable[tuple[str, str]], seed: int = 0) -> TextCorpus:
        return build(folder, {"train": list(rows)}, drawn=DrawnSplits(0.25, seed=seed))

    def labeled(self, corpus: TextCorpus, split: str) -> list[tuple[str, str]]:
        labels = [corpus.labels[label] for label in corpus.splits[split].labels]
        return list(zip(labels, texts(corpus, split), strict=True))

    def test_every_row_is_in_one_split_and_keeps_its_order(self, tmp_path: Path) -> None:
        corpus = self.draw(tmp_path / "c", self.ROWS)
        train, valid = self.labeled(corpus, "train"), self.labeled(corpus, "valid")
        assert Counter(train + valid) == Counter(self.ROWS)
        assert train == [row for row in self.ROWS if row in set(train)]

    def test_they_are_stratified_by_label(self, tmp_path: Path) -> None:
        rows = [("a" if i % 5 else "b", f"text {i}") for i in range(400)]
        assert self.draw(tmp_path / "c", rows).splits["valid"].class_counts == [80, 20]

    def test_duplicates_of_a_label_are_in_the_same_split(self, tmp_path: Path) -> None:
        corpus = self.draw(tmp_path / "c", self.ROWS)
        assert not set(self.labeled(corpus, "train")) & set(self.labeled(corpus, "valid"))

    def test_they_depend_on_the_seed_and_the_texts_alone(self, tmp_path: Path) -> None:
        first = sorted(self.labeled(self.draw(tmp_path / "1", self.ROWS), "valid"))
        reversed_rows = sorted(self.labeled(self.draw(tmp_path / "2", self.ROWS[::-1]), "valid"))
        other = sorted(self.labeled(self.draw(tmp_path / "3", self.ROWS, seed=-1), "valid"))
        assert first == reversed_rows
        assert first != other

    def test_a_test_split_can_be_drawn(self, tmp_path: Path) -> None:
        rows = [("a" if i % 2 else "b", f"text {i}") for i in range(200)]
        corpus = build(tmp_path / "c", {"train": rows}, drawn=DrawnSplits(test_fraction=0.1))
        parts = {name: set(texts(corpus, name)) for name in corpus.splits}
        assert {name: len(part) for name, part in parts.items()} == (
            {"train": 162, "valid": 18, "test": 20}
        )
        assert len(set.union(*parts.values())) == 200

    @pytest.mark.parametrize("split", ["valid", "test"])
    def test_a_fraction_and_a_split_exclude_each_other(self, tmp_path: Path, split: str) -> None:
        sources = {"train": [("a", "x"), ("b", "y")], split: [("a", "z")]}
        drawn = DrawnSplits(**{f"{split}_fraction": 0.1})
        with pytest.raises(
            UserError, match=rf"split\.{split}_fraction has no effect if there is a"
        ):
            build(tmp_path / "c", sources, drawn=drawn)


class TestCache:
    """Building a corpus in the cache."""

    KEY: Mapping[str, Any] = {"content": "abc", "settings": {"min_freq": 1}}

    def write(self, folder: Path) -> None:
        rows = {"train": TRAIN, "valid": VALID}
        sources = {name: (lambda some=some: records(some)) for name, some in rows.items()}
        TextCorpusBuilder(TruncatingTokenizerConfig()).build(folder, sources)

    def test_a_corpus_is_built_once(self, tmp_path: Path) -> None:
        first = prepare(tmp_path, self.KEY, self.write)
        second = prepare(
            tmp_path, dict(reversed(self.KEY.items())), lambda folder: pytest.fail("built")
        )
        assert second.tokenizer.words == first.tokenizer.words
        assert texts(second, "train") == texts(first, "train")

    def test_each_key_has_its_own_corpus(self, tmp_path: Path) -> None:
        keys = [self.KEY, {**self.KEY, "content": "abd"}, {**self.KEY, "settings": {"min_freq": 2}}]
        for key in keys:
            prepare(tmp_path, key, self.write)
        assert len(list(tmp_path.glob("*/corpus.json"))) == 3

    def test_another_format_is_built_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        prepare(tmp_path, self.KEY, self.write)
        monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
        prepare(tmp_path, self.KEY, self.write)
        assert len(list(tmp_path.glob("*/corpus.json"))) == 2

    @pytest.mark.parametrize("writes", [0, 1, 5, 26])
    def test_a_full_disk_is_reported_and_leaves_no_corpus(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
    ) -> None:
        append, count = RaggedArrayWriter.append, iter(range(writes))

        def full(writer: RaggedArrayWriter, row: Any) -> None:
            if next(count, None) is None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            append(writer, row)

        with monkeypatch.context() as patched:
            patched.setattr(RaggedArrayWriter, "append", full)
            with pytest.raises(UserError, match=r"cannot be prepared in .*: No space left"):
                prepare(tmp_path, self.KEY, self.write)
        assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
        assert texts(prepare(tmp_path, self.KEY, self.write), "valid") == ["a dull film", "good"]

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_a_disk_that_is_full_when_files_are_closed_is_reported(self, tmp_path: Path) -> None:
        def write(folder: Path) -> None:
            for name in ("train.text.bin", "train.text.offsets.bin"):
                (folder / name).symlink_to("/dev/full")
            self.write(folder)

        with pytest.raises(UserError, match="No space left"):
            prepare(tmp_path, self.KEY, write)
        assert [path for path in tmp_path.iterdir() if path.is_dir()] == []

    def test_an_invalid_record_leaves_no_corpus(self, tmp_path: Path) -> None:
        def broken() -> Iterable[Record]:
            yield Record("good", ("pos",))
            raise UserError("line 2 is broken")

        builder = TextCorpusBuilder(TruncatingTokenizerConfig())
        with pytest.raises(UserError, match="line 2 is broken"):
            prepare(tmp_path, self.KEY, lambda at: builder.build(at, {"train": broken}))
        assert [path for path in tmp_path.iterdir() if path.is_dir()] == []

    def test_an_unwritable_folder_is_reported(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match=r"the data cannot be prepared in .*file"):
            prepare(tmp_path / "file" / "prepared", self.KEY, self.write)


def _build_slowly(folder: Path, ready: Any, builds: Any) -> None:
    def write(part: Path) -> None:
        builds.put(os.getpid())
        time.sleep(0.5)
        TestCache().write(part)

    ready.wait()
    assert len(prepare(folder, TestCache.KEY, write).splits["train"]) == len(TRAIN)


@pytest.mark.slow
def test_several_processes_at_once_build_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    ready, builds = spawn.Barrier(3), spawn.Queue()
    processes = [
        spawn.Process(target=_build_slowly, args=(tmp_path, ready, builds)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    builds.get(timeout=5)
    assert builds.empty()


KILLED = """
import itertools, os, signal, sys
from pathlib import Path
from rnn_lab.io.cache import get_or_build
from rnn_lab.io.ragged import RaggedArrayWriter
from rnn_lab.tasks.text_classification.corpus import TextCorpus, TextCorpusBuilder
from rnn_lab.io.records import Record
from rnn_lab.tasks.text_classification.tokenizer import TruncatingTokenizerConfig

folder, key, left = Path(sys.argv[1]), {"content": 0}, int(sys.argv[2])
counted, append = itertools.count(), RaggedArrayWriter.append

def append_or_die(writer, row):
    append(writer, row)
    if next(counted) == left:
        os.kill(os.getpid(), signal.SIGKILL)

RaggedArrayWriter.append = append_or_die
rows = [Record(f"text {i}", (str(i % 2),)) for i in range(40)]
builder = TextCorpusBuilder(TruncatingTokenizerConfig())
build = lambda at: builder.build(at, {"train": lambda: rows})
corpus = TextCorpus(get_or_build(folder, key, build))
print(sum(map(len, corpus.splits.values())))
"""


@pytest.mark.slow
@pytest.mark.parametrize("left", [10, 50])
def test_a_killed_build_is_not_taken_for_a_corpus(tmp_path: Path, left: int) -> None:
    def run(left: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", KILLED, str(tmp_path), str(left)]
        return subprocess.run(command, capture_output=True, text=True, timeout=100)

    assert run(left).returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("*.part"))) == 1
    assert not list(tmp_path.glob("*/corpus.json"))
    second = run(-1)
    assert (second.returncode, second.stdout) == (0, "40\n"), second.stderr
    assert not list(tmp_path.glob("*.part"))
    (meta,) = tmp_path.glob("*/corpus.json")
    assert json.loads(meta.read_text())["splits"] == ["train", "valid"]
