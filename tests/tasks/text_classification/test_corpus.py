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
from rnn_lab.special_tokens import PAD_ID, UNK_ID
from rnn_lab.tasks.text_classification.corpus import Corpus, RawTextStore, build_corpus, prepare
from rnn_lab.tasks.text_classification.tokenizer import (
    TruncatingTokenizer,
    TruncatingTokenizerConfig,
)

Rows = list[tuple[str, str]]  # label, text
TRAIN = [("pos", "a good film"), ("neg", "a bad film <br /> really"), ("pos", "été 日本 !")] * 4
VALID = [("neg", "a dull film"), ("pos", "good")]
TEST = [("pos", "a good film"), ("neg", "awful"), ("neg", "bad bad bad bad")]


def records(rows: Rows) -> list[Record]:
    return [Record(text, (label,)) for label, text in rows]


def built(folder: Path, rows: Mapping[str, Rows], settings: Any = None, **options: Any) -> Corpus:
    sources = {name: (lambda some=some: records(some)) for name, some in rows.items()}
    folder.mkdir()
    build_corpus(folder, sources, TruncatingTokenizerConfig(**(settings or {})), **options)
    return Corpus(folder)


def texts(one: Corpus, split: str) -> list[str]:
    return [one.splits[split].text(row) for row in range(len(one.splits[split]))]


@pytest.fixture
def given(tmp_path: Path) -> Corpus:
    return built(tmp_path / "given", {"train": TRAIN, "valid": VALID, "test": TEST})


def test_a_corpus_holds_what_encoding_each_text_gives(given: Corpus) -> None:
    for name, rows in {"train": TRAIN, "valid": VALID, "test": TEST}.items():
        split = given.splits[name]
        for row, (label, text) in enumerate(rows):
            ids = split.ids[split.offsets[row] : split.offsets[row + 1]]
            assert ids.tolist() == given.tokenizer.encode([text])[0]
            assert split.text(row) == text
            assert given.labels[split.labels[row]] == label
        assert split.lengths.tolist() == np.diff(split.offsets).tolist()
        assert len(split) == len(rows)
        assert split.class_counts == [
            sum(label == name for label, _ in rows) for name in given.labels
        ]


def test_more_texts_than_are_encoded_at_once_keep_their_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnn_lab.text.tokenizer.ENCODE_CHUNK_SIZE", 3)
    rows = [("a", "" if i % 4 == 0 else f"w{i} " * (i + 1)) for i in range(23)]
    one = built(tmp_path / "c", {"train": rows, "valid": rows})
    kept = [text for _, text in rows if text]
    assert texts(one, "train") == kept
    assert [given.ids.tolist() for given in [one.splits["train"]]] == [
        [word for row in one.tokenizer.encode(kept) for word in row]
    ]
    assert texts(one, "valid") == [text for _, text in rows]


def test_the_vocabulary_comes_from_the_training_split_alone(given: Corpus) -> None:
    assert "film" in given.tokenizer.words
    for word in ("dull", "awful"):
        assert word not in given.tokenizer.words
        assert UNK_ID in given.tokenizer.encode([word])[0]


def test_the_part_drawn_for_validation_teaches_no_words(tmp_path: Path) -> None:
    rows = [("a", f"own{i} common") for i in range(50)]
    one = built(tmp_path / "c", {"train": rows}, valid_fraction=0.2)
    assert len(one.splits["valid"]) == 10
    assert set(one.tokenizer.words[3:]) == {text.split()[0] for text in texts(one, "train")}


def test_empty_texts_are_left_out_of_training_and_counted(tmp_path: Path) -> None:
    rows = [("a", ""), ("b", "good"), ("a", "bad"), ("b", " \t ")]
    one = built(tmp_path / "c", {"train": rows, "valid": VALID[:1]}, labels=["a", "b", "neg"])
    assert texts(one, "train") == ["good", "bad"]
    assert one.splits["train"].class_counts == [1, 1, 0]
    assert one.notices == ["2 empty texts of the train split are left out"]


@pytest.mark.parametrize("name", ["valid", "test"])
def test_empty_texts_elsewhere_are_one_unknown_word_and_counted(tmp_path: Path, name: str) -> None:
    other = "test" if name == "valid" else "valid"
    rows = {"train": TRAIN, name: [("pos", "awful"), ("neg", "<br />")], other: VALID}
    one = built(tmp_path / "c", rows)
    split = one.splits[name]
    assert split.lengths.tolist() == [1, 1]
    assert split[np.array([1])].tokens.tolist() == [[UNK_ID]]
    assert split.text(1) == "<br />"
    assert one.notices == [f"1 empty texts of the {name} split are read as one unknown word"]


def test_test_texts_that_occur_in_training_are_counted_and_kept(tmp_path: Path) -> None:
    test = [*TEST, ("neg", "a good film"), ("neg", "A good film")]
    one = built(tmp_path / "c", {"train": TRAIN, "valid": VALID, "test": test})
    assert one.notices == ["2 test texts also occur in the training split"]
    assert len(one.splits["test"]) == len(test)


@pytest.mark.parametrize("name", ["valid", "test"])
def test_an_unknown_label_is_named_with_the_known_ones(tmp_path: Path, name: str) -> None:
    rows = {"train": TRAIN, "valid": VALID, "test": TEST}
    with pytest.raises(UserError) as error:
        built(tmp_path / "c", rows | {name: [("neutral", "so so")]})
    assert str(error.value) == f"the {name} split has the label 'neutral'; known are neg, pos"


@pytest.mark.parametrize("rows", [[], [("pos", ""), ("neg", " ")]])
def test_a_training_split_without_text_is_refused(tmp_path: Path, rows: Rows) -> None:
    with pytest.raises(UserError, match="the train split has no text to read"):
        built(tmp_path / "c", {"train": rows, "valid": VALID}, labels=["neg", "pos"])


@pytest.mark.parametrize("labels", [("a", "b"), ()])
def test_several_labels_are_refused_where_one_is_wished(
    tmp_path: Path, labels: tuple[str, ...]
) -> None:
    read = {"train": lambda: [Record("good", ("a",)), Record("bad", labels)]}
    with pytest.raises(UserError, match=f"a text with {len(labels)} labels"):
        build_corpus(tmp_path, read, TruncatingTokenizerConfig(), labels=["a", "b"])


def test_labels_are_numbered_in_natural_order(tmp_path: Path) -> None:
    rows = [(label, "text") for label in ("b", "10", "2", "a", "01", "1")]
    assert built(tmp_path / "c", {"train": rows, "valid": rows}).labels == (
        ["01", "1", "2", "10", "a", "b"]
    )


def test_labels_that_are_given_keep_their_order_and_missing_ones_count_zero(
    tmp_path: Path,
) -> None:
    one = built(tmp_path / "c", {"train": TRAIN, "valid": VALID}, labels=["pos", "neg", "meh"])
    assert one.labels == ["pos", "neg", "meh"]
    assert one.splits["train"].class_counts == [8, 4, 0]


def test_several_labels_become_zeros_and_ones(tmp_path: Path) -> None:
    rows = [Record("one two", ("b", "a")), Record("two", ("b",)), Record("none", ())]
    sources: dict[str, Callable[[], Iterable[Record]]] = {"train": lambda: rows}
    build_corpus(
        tmp_path, {**sources, "valid": lambda: rows}, TruncatingTokenizerConfig(), multi_label=True
    )
    split = Corpus(tmp_path).splits["train"]
    batch = split[np.arange(3)]
    assert batch.labels.tolist() == [[1, 1], [0, 1], [0, 0]]
    assert batch.labels.is_floating_point()
    assert split.class_counts == [1, 2]


def test_a_given_tokenizer_encodes_all_splits(tmp_path: Path) -> None:
    tokenizer = TruncatingTokenizer.learn(TruncatingTokenizerConfig(), ["awful film"])
    one = built(tmp_path / "c", {"test": TEST}, tokenizer=tokenizer, labels=["neg", "pos"])
    assert one.tokenizer.words == tokenizer.words
    assert one.splits["test"][np.array([1])].tokens.tolist() == tokenizer.encode(["awful"])


def test_a_batch_is_its_rows_padded_one_by_one(given: Corpus) -> None:
    split = given.splits["train"]
    rows = np.array([2, 0, 1, 1])
    batch = split[rows]
    encoded = given.tokenizer.encode([TRAIN[row][1] for row in rows])
    longest = max(map(len, encoded))
    assert batch.tokens.tolist() == [ids + [PAD_ID] * (longest - len(ids)) for ids in encoded]
    assert batch.lengths.tolist() == [len(ids) for ids in encoded]
    assert batch.labels.tolist() == [given.labels.index(TRAIN[row][0]) for row in rows]


class TestDivision:
    """The part of a training split that is drawn from it."""

    ROWS = tuple(
        ("a" if i % 5 else "b", f"text {i if i % 7 else 0}") for i in range(400)
    )  # a seventh of the texts are equal

    def drawn(self, folder: Path, rows: Iterable[tuple[str, str]], seed: int = 0) -> Corpus:
        return built(folder, {"train": list(rows)}, valid_fraction=0.25, split_seed=seed)

    def labeled(self, one: Corpus, split: str) -> list[tuple[str, str]]:
        labels = [one.labels[label] for label in one.splits[split].labels]
        return list(zip(labels, texts(one, split), strict=True))

    def test_every_row_lies_on_one_side_in_its_old_order(self, tmp_path: Path) -> None:
        one = self.drawn(tmp_path / "c", self.ROWS)
        train, valid = self.labeled(one, "train"), self.labeled(one, "valid")
        assert Counter(train + valid) == Counter(self.ROWS)
        assert train == [row for row in self.ROWS if row in set(train)]

    def test_each_label_gives_its_share(self, tmp_path: Path) -> None:
        rows = [("a" if i % 5 else "b", f"text {i}") for i in range(400)]
        assert self.drawn(tmp_path / "c", rows).splits["valid"].class_counts == [80, 20]

    def test_equal_texts_of_a_label_go_to_the_same_side(self, tmp_path: Path) -> None:
        one = self.drawn(tmp_path / "c", self.ROWS)
        assert not set(self.labeled(one, "train")) & set(self.labeled(one, "valid"))

    def test_it_depends_on_the_seed_and_the_texts_alone(self, tmp_path: Path) -> None:
        first = sorted(self.labeled(self.drawn(tmp_path / "1", self.ROWS), "valid"))
        again = sorted(self.labeled(self.drawn(tmp_path / "2", self.ROWS[::-1]), "valid"))
        other = sorted(self.labeled(self.drawn(tmp_path / "3", self.ROWS, seed=-1), "valid"))
        assert first == again
        assert first != other

    def test_a_test_part_can_be_drawn_too(self, tmp_path: Path) -> None:
        rows = [("a" if i % 2 else "b", f"text {i}") for i in range(200)]
        one = built(tmp_path / "c", {"train": rows}, test_fraction=0.1)
        parts = {name: set(texts(one, name)) for name in one.splits}
        assert {name: len(part) for name, part in parts.items()} == (
            {"train": 162, "valid": 18, "test": 20}
        )
        assert len(set.union(*parts.values())) == 200


class TestPreparation:
    """What happens around the writing of a corpus."""

    KEY: Mapping[str, Any] = {"content": "abc", "settings": {"min_freq": 1}}

    def build(self, folder: Path) -> None:
        rows = {"train": TRAIN, "valid": VALID}
        sources = {name: (lambda some=some: records(some)) for name, some in rows.items()}
        build_corpus(folder, sources, TruncatingTokenizerConfig())

    def test_the_second_opening_builds_nothing(self, tmp_path: Path) -> None:
        first = prepare(tmp_path, self.KEY, self.build)
        second = prepare(
            tmp_path, dict(reversed(self.KEY.items())), lambda folder: pytest.fail("built")
        )
        assert second.tokenizer.words == first.tokenizer.words
        assert texts(second, "train") == texts(first, "train")

    def test_another_key_is_another_corpus(self, tmp_path: Path) -> None:
        keys = [self.KEY, {**self.KEY, "content": "abd"}, {**self.KEY, "settings": {"min_freq": 2}}]
        for key in keys:
            prepare(tmp_path, key, self.build)
        assert len(list(tmp_path.glob("*/corpus.json"))) == 3

    def test_another_format_is_another_corpus(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        prepare(tmp_path, self.KEY, self.build)
        monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
        prepare(tmp_path, self.KEY, self.build)
        assert len(list(tmp_path.glob("*/corpus.json"))) == 2

    @pytest.mark.parametrize("writes", [0, 1, 5, 26])
    def test_a_full_disk_is_one_line_and_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
    ) -> None:
        append, count = RaggedArrayWriter.append, iter(range(writes))

        def full(flat: RaggedArrayWriter, row: Any) -> None:
            if next(count, None) is None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            append(flat, row)

        with monkeypatch.context() as patched:
            patched.setattr(RaggedArrayWriter, "append", full)
            with pytest.raises(UserError, match=r"cannot be prepared in .*: No space left"):
                prepare(tmp_path, self.KEY, self.build)
        assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
        assert texts(prepare(tmp_path, self.KEY, self.build), "valid") == ["a dull film", "good"]

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_a_disk_that_is_full_when_files_are_closed_is_one_line(self, tmp_path: Path) -> None:
        def build(folder: Path) -> None:
            for name in ("train.ids.bin", "train.ids.offsets.bin"):
                (folder / name).symlink_to("/dev/full")
            self.build(folder)

        with pytest.raises(UserError, match="No space left"):
            prepare(tmp_path, self.KEY, build)
        assert [path for path in tmp_path.iterdir() if path.is_dir()] == []

    def test_a_mistake_in_the_texts_leaves_nothing(self, tmp_path: Path) -> None:
        def broken() -> Iterable[Record]:
            yield Record("good", ("pos",))
            raise UserError("line 2 is broken")

        with pytest.raises(UserError, match="line 2 is broken"):
            prepare(
                tmp_path,
                self.KEY,
                lambda at: build_corpus(at, {"train": broken}, TruncatingTokenizerConfig()),
            )
        assert [path for path in tmp_path.iterdir() if path.is_dir()] == []

    def test_a_folder_that_cannot_be_written_is_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match=r"the data cannot be prepared in .*file"):
            prepare(tmp_path / "file" / "prepared", self.KEY, self.build)


def _build_slowly(folder: Path, ready: Any, builds: Any) -> None:
    def build(part: Path) -> None:
        builds.put(os.getpid())
        time.sleep(0.5)
        TestPreparation().build(part)

    ready.wait()
    assert len(prepare(folder, TestPreparation.KEY, build).splits["train"]) == len(TRAIN)


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
from rnn_lab.tasks.text_classification.corpus import RaggedArrayWriter, build_corpus, prepare
from rnn_lab.io.records import Record
from rnn_lab.tasks.text_classification.tokenizer import TruncatingTokenizerConfig

folder, key, left = Path(sys.argv[1]), {"content": 0}, int(sys.argv[2])
counted, append = itertools.count(), RaggedArrayWriter.append

def mortal(flat, row):
    append(flat, row)
    if next(counted) == left:
        os.kill(os.getpid(), signal.SIGKILL)

RaggedArrayWriter.append = mortal
rows = [Record(f"text {i}", (str(i % 2),)) for i in range(40)]
build = lambda at: build_corpus(at, {"train": lambda: rows}, TruncatingTokenizerConfig())
corpus = prepare(folder, key, build)
print(sum(map(len, corpus.splits.values())))
"""


@pytest.mark.slow
@pytest.mark.parametrize("left", [10, 50])
def test_what_a_kill_leaves_is_never_taken_for_whole(tmp_path: Path, left: int) -> None:
    def run(left: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", KILLED, str(tmp_path), str(left)]
        return subprocess.run(command, capture_output=True, text=True, timeout=100)

    assert run(left).returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("*.part"))) == 1
    assert not list(tmp_path.glob("*/corpus.json"))
    again = run(-1)
    assert (again.returncode, again.stdout) == (0, "40\n"), again.stderr
    assert not list(tmp_path.glob("*.part"))
    (meta,) = tmp_path.glob("*/corpus.json")
    assert json.loads(meta.read_text())["splits"] == ["train", "valid"]


def test_a_spool_reads_back_what_it_was_given(tmp_path: Path) -> None:
    rows = [("a", f"text {i} " + "é" * i) for i in range(50)]
    spool = RawTextStore(tmp_path, "train", records(rows))
    some = np.array([0, 3, 4, 49])
    assert list(spool.read(some)) == [rows[i][1] for i in some]
