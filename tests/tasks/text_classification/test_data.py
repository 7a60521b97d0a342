import gzip
import json
import logging
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import handmade
import numpy as np
import pytest
from platformdirs import user_cache_path

from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.datamodules import SyntheticReviews, TextFiles
from rnn_lab.errors import UserError
from rnn_lab.tasks.text_classification.batch import TextBatch
from rnn_lab.tasks.text_classification.corpus import TextCorpusBuilder
from rnn_lab.tasks.text_classification.data import TextColumns
from rnn_lab.tasks.text_classification.tokenizer import TruncatingTokenizerConfig
from rnn_lab.text.split import SplitConfig

CHIRPS = {"class_path": "rnn_lab.datamodules.SyntheticChirps", "init_args": {}}
ROWS = [("bad" if i % 3 else "good", f"text {i} is read") for i in range(30)]
THREE_TOKENS = TruncatingTokenizerConfig(max_length=3)
Write = Callable[[Path], dict[str, Any]]


def as_csv(path: Path) -> dict[str, Any]:
    lines = [f'{label},"{text}"\n' for label, text in ROWS]
    path.with_suffix(".csv").write_text("label,text\n" + "".join(lines))
    return {"train": str(path.with_suffix(".csv"))}


def as_csv_with_other_columns(path: Path) -> dict[str, Any]:
    lines = [f"{i},{text},{label}\n" for i, (label, text) in enumerate(ROWS)]
    path.with_suffix(".csv").write_text("".join(lines))
    columns = {"header": False, "text": 2, "label": 3}
    return {"train": str(path.with_suffix(".csv")), "columns": columns}


def as_tsv(path: Path) -> dict[str, Any]:
    lines = [f"{text}\t{label}\n" for label, text in ROWS]
    path.with_suffix(".tsv").write_text("review\tstars\n" + "".join(lines))
    columns = {"text": "review", "label": "stars"}
    return {"train": str(path.with_suffix(".tsv")), "columns": columns}


def as_jsonl(path: Path) -> dict[str, Any]:
    lines = [json.dumps({"text": text, "label": label}) + "\n" for label, text in ROWS]
    path.with_suffix(".jsonl").write_text("".join(lines))
    return {"train": str(path.with_suffix(".jsonl"))}


def as_lines(path: Path) -> dict[str, Any]:
    path.with_suffix(".txt").write_text("".join(f"{label} {text}\n" for label, text in ROWS))
    return {"train": str(path.with_suffix(".txt"))}


def as_compressed_lines(path: Path) -> dict[str, Any]:
    plain = Path(as_lines(path)["train"])
    plain.with_suffix(".txt.gz").write_bytes(gzip.compress(plain.read_bytes()))
    return {"train": str(plain.with_suffix(".txt.gz"))}


def as_lines_with_another_suffix(path: Path) -> dict[str, Any]:
    Path(as_lines(path)["train"]).rename(path.with_suffix(".all"))
    return {"train": str(path.with_suffix(".all")), "format": "txt"}


def as_folder(path: Path) -> dict[str, Any]:
    for i, (label, content) in enumerate(ROWS):
        (path / label).mkdir(parents=True, exist_ok=True)
        (path / label / f"{i:02}.txt").write_text(content)
    return {"train": str(path)}


def as_archive(path: Path) -> dict[str, Any]:
    as_folder(path)
    with tarfile.open(path.with_suffix(".tar.gz"), "w:gz") as archive:
        archive.add(path, path.name)
    return {"train": str(path.with_suffix(".tar.gz"))}


WRITERS = (
    *(as_csv, as_csv_with_other_columns, as_tsv, as_jsonl, as_lines, as_compressed_lines),
    *(as_lines_with_another_suffix, as_folder, as_archive),
)


def rows_of(data: TextFiles, split: str) -> list[tuple[str, str]]:
    rows = data.split(split)
    return [(data.label_names[int(rows.labels[i])], rows.text(i)) for i in range(len(rows))]


@pytest.fixture
def lines(tmp_path: Path) -> str:
    return str(as_lines(tmp_path / "texts")["train"])


@pytest.fixture
def checkpoint(tmp_path: Path, lines: str) -> str:
    """A checkpoint of training on the lines."""
    data = TextFiles(train=lines, tokenizer=THREE_TOKENS)
    return handmade.write(tmp_path / "trained.ckpt", data=data.build_spec())


def written(path: Path, content: str, encoding: str = "utf-8") -> str:
    path.write_text(content, encoding)
    return str(path)


@pytest.mark.parametrize("write", WRITERS)
def test_files_of_all_formats_have_the_same_content(tmp_path: Path, write: Write) -> None:
    data = TextFiles(**write(tmp_path / "texts"), split=SplitConfig(0.2))
    assert sorted(rows_of(data, "train") + rows_of(data, "valid")) == sorted(ROWS)
    assert data.label_names == ["bad", "good"]
    assert data.class_counts == [16, 8]
    assert len(data.split("valid")) == 6
    batch = next(iter(data.train_dataloader()))
    assert isinstance(batch, TextBatch)
    assert batch.tokens.shape == (24, 4)


def test_files_of_all_splits_are_used_unchanged(tmp_path: Path, lines: str) -> None:
    valid = written(tmp_path / "valid.txt", "good so good\n")
    test = written(tmp_path / "test.txt", "bad so bad\nbad text 0 is read\n")
    data = TextFiles(train=lines, valid=valid, test=test)
    assert rows_of(data, "train") == ROWS
    assert rows_of(data, "valid") == [("good", "so good")]
    assert rows_of(data, "test") == [("bad", "so bad"), ("bad", "text 0 is read")]
    assert "so" not in data.tokenizer.words


def test_notices_are_logged(tmp_path: Path, lines: str, caplog: pytest.LogCaptureFixture) -> None:
    test = written(tmp_path / "test.txt", "bad text 0 is read\nbad \n")
    with caplog.at_level(logging.INFO, "rnn_lab"):
        TextFiles(train=lines, test=test).split("test")
    messages = [record.getMessage() for record in caplog.records]
    assert messages[1].startswith("TextFiles: the train split has 27 texts: bad 18, good 9")
    assert messages[0] == "TextFiles: test texts that also occur in training: 1"
    assert "TextFiles: read 1 empty text of the test split as an unknown word" in messages
    assert messages[-1].startswith("TextFiles: the valid split has 3 texts: ")


def test_other_encodings_can_be_set(tmp_path: Path) -> None:
    path = written(tmp_path / "texts.txt", "good d\u00e9j\u00e0 \u201cvu\u201d\n" * 9, "cp1252")
    with pytest.raises(UserError, match=r"is not utf-8 at line 1 .*set its encoding"):
        TextFiles(train=path).split("train")
    data = TextFiles(train=path, encoding="cp1252", valid=path)
    assert data.split("train").text(0) == "d\u00e9j\u00e0 \u201cvu\u201d"


def test_a_separator_makes_the_data_multi_label(tmp_path: Path) -> None:
    path = written(tmp_path / "texts.tsv", "label\ttext\na|b\tone\nb\ttwo\n\tthree\n")
    data = TextFiles(train=path, valid=path, columns=TextColumns(label_separator="|"))
    assert data.multi_label
    assert data.label_names == ["a", "b"]
    assert data.class_counts == [1, 2]
    assert data.split("train")[np.arange(3)].labels.tolist() == [[1, 1], [0, 1], [0, 0]]


def test_a_row_is_named_by_its_number_in_the_file_and_its_text(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(1, 41)]
    path = written(tmp_path / "a.csv", "text,label\n" + "".join(f"{t},a\n" for t in texts))
    data = TextFiles(train=path)
    sizes = {split: len(data.split(split)) for split in ("train", "valid")}
    described = [data.describe_row(s, row) for s, size in sizes.items() for row in range(size)]
    assert min(sizes.values()) > 1
    assert sorted((each["row"], each["text"]) for each in described) == [*enumerate(texts, 1)]


def test_an_empty_separator_of_labels_is_refused(lines: str) -> None:
    with pytest.raises(UserError, match=r"label_separator must not be empty: give the text"):
        TextFiles(train=lines, columns=TextColumns(label_separator=""))


def test_a_missing_file_option_is_reported(lines: str) -> None:
    with pytest.raises(UserError, match=r"TextFiles has no test split: set --data.test=FILE"):
        TextFiles(train=lines).split("test")
    with pytest.raises(UserError, match="TextFiles needs a training file"):
        TextFiles()
    with pytest.raises(UserError, match="TextFiles needs a training file"):
        TextFiles(test=lines)


def test_a_file_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.csv"):
        TextFiles(train=str(tmp_path / "nowhere.csv")).split("train")


@pytest.mark.parametrize("value", [0, 1, -0.1])
def test_an_invalid_fraction_is_refused(lines: str, value: float) -> None:
    with pytest.raises(UserError, match=f"valid_fraction must be between 0 and 1, got {value}"):
        TextFiles(train=lines, split={"valid_fraction": value})


def test_max_length_zero_is_refused(lines: str) -> None:
    with pytest.raises(UserError, match="max_length must be at least 1, got 0"):
        TextFiles(train=lines, tokenizer={"max_length": 0})


class TestCache:
    """A corpus is built once, and again if anything that it depends on changes."""

    @pytest.fixture
    def builds(self, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
        folders: list[Path] = []

        build = TextCorpusBuilder.build

        def record(builder: TextCorpusBuilder, folder: Path, sources: Any) -> None:
            folders.append(folder)
            build(builder, folder, sources)

        monkeypatch.setattr(TextCorpusBuilder, "build", record)
        return folders

    def test_the_same_content_and_options_are_built_once(
        self, lines: str, builds: list[Path]
    ) -> None:
        TextFiles(train=lines).split("train")
        TextFiles(train=lines, batch_size=8).split("valid")
        copied = Path(lines).with_name("copy.txt")
        copied.write_bytes(Path(lines).read_bytes())
        TextFiles(train=str(copied)).split("train")  # the key is the content, not the name
        assert len(builds) == 1
        assert builds[0].is_relative_to(user_cache_path("rnn_lab") / "prepared")

    @pytest.mark.parametrize(
        "option",
        [
            {"tokenizer": {"min_freq": 2}},
            {"tokenizer": {"max_vocab_size": 5}},
            {"tokenizer": {"max_length": 2}},
            {"tokenizer": {"truncation_side": "left"}},
            {"tokenizer": {"lowercase": False}},
            {"tokenizer": {"kind": "characters"}},
            {"split": {"valid_fraction": 0.2}},
            {"split": {"seed": 1}},
            {"encoding": "cp1252"},
        ],
        ids=str,
    )
    def test_another_option_is_built_again(
        self, lines: str, builds: list[Path], option: dict[str, Any]
    ) -> None:
        TextFiles(train=lines).split("train")
        TextFiles(train=lines, **option).split("train")
        assert len(builds) == 2

    def test_another_content_is_built_again(self, lines: str, builds: list[Path]) -> None:
        TextFiles(train=lines).split("train")
        with open(lines, "a") as file:
            file.writelines(f"good new {i}\n" for i in range(20))
        assert "new" in TextFiles(train=lines).tokenizer.words
        assert len(builds) == 2

    def test_another_folder_name_is_built_again(self, tmp_path: Path, builds: list[Path]) -> None:
        options = as_folder(tmp_path / "texts")
        TextFiles(**options).split("train")
        (tmp_path / "texts/good").rename(tmp_path / "texts/fine")
        assert TextFiles(**options).label_names == ["bad", "fine"]
        assert len(builds) == 2


class TestFromCheckpoint:
    """Other files with the vocabulary and the labels of a checkpoint."""

    def test_a_test_file_is_sufficient(self, tmp_path: Path, lines: str, checkpoint: str) -> None:
        path = written(tmp_path / "test.txt", "good new text 0 is read\n")
        data = TextFiles(test=path, vocab_from_checkpoint=checkpoint, tokenizer=THREE_TOKENS)
        trained = TextFiles(train=lines, tokenizer=THREE_TOKENS)
        assert data.tokenizer.words == trained.tokenizer.words
        assert data.vocab_size == trained.vocab_size
        assert data.label_names == ["bad", "good"]
        assert data.class_counts == trained.class_counts
        batch = next(iter(data.test_dataloader()))
        assert batch.tokens.tolist() == trained.tokenizer.encode(["new text 0 is read"])
        assert batch.labels.tolist() == [1]

    def test_the_test_split_that_was_drawn_is_drawn_again(self, tmp_path: Path) -> None:
        split = SplitConfig(test_fraction=0.3, seed=3)
        train = as_csv(tmp_path / "texts")["train"]
        data = TextFiles(train=train, split=split)
        checkpoint = handmade.write(tmp_path / "drawn.ckpt", data=data.build_spec())
        again = TextFiles(train=train, split=split, vocab_from_checkpoint=checkpoint)
        texts = [
            {each.split(name).text(row) for row in range(len(each.split(name)))}
            for each in (data, again)
            for name in ("test", "train", "valid")
        ]
        assert texts[:3] == texts[3:]
        assert [len(part) for part in texts[:3]] == [9, 19, 2]
        with pytest.raises(UserError, match=r"set --data\.train=FILE, from which it is drawn"):
            TextFiles(vocab_from_checkpoint=checkpoint, split=split).split("test")

    def test_only_the_requested_split_is_read(
        self, tmp_path: Path, lines: str, checkpoint: str
    ) -> None:
        test = written(tmp_path / "test.txt", "good film\n")
        Path(lines).unlink()
        data = TextFiles(train=lines, test=test, vocab_from_checkpoint=checkpoint)
        assert len(data.split("test")) == 1

    def test_a_label_unknown_to_the_checkpoint_is_refused(
        self, tmp_path: Path, checkpoint: str
    ) -> None:
        path = written(tmp_path / "test.txt", "fair so so\n")
        with pytest.raises(UserError, match="has the label 'fair'; known are bad, good"):
            TextFiles(test=path, vocab_from_checkpoint=checkpoint).split("test")

    def test_checkpoints_contain_no_paths(self, tmp_path: Path, checkpoint: str) -> None:
        arguments = Checkpoint.open(checkpoint).data["init_args"]
        assert set(arguments).isdisjoint(TextFiles.machine_specific)
        assert str(tmp_path) not in repr(arguments)

    def test_a_checkpoint_without_texts_is_refused(self, tmp_path: Path) -> None:
        path = handmade.write(tmp_path / "series.ckpt", data=CHIRPS)
        with pytest.raises(
            UserError,
            match=r"is not a text classification checkpoint: trained on .*SyntheticChirps",
        ):
            TextFiles(test="x.txt", vocab_from_checkpoint=path)


def test_word_vectors_are_those_of_words_in_the_vocabulary(tmp_path: Path, lines: str) -> None:
    path = written(tmp_path / "vectors.txt", "read 1 2\nunheard 3 4\n")
    data = TextFiles(train=lines, vectors=path)
    word_vectors = data.word_vectors(2)
    assert word_vectors is not None
    ids, vectors = word_vectors
    assert data.tokenizer.decode(ids.tolist()) == ["read"]
    assert vectors.tolist() == [[1, 2]]
    assert TextFiles(train=lines).word_vectors(2) is None


def test_generated_splits_have_the_requested_sizes() -> None:
    data = SyntheticReviews(train_size=60, valid_size=20, test_size=30)
    assert {name: len(data.split(name)) for name in data.sizes} == data.sizes
    assert data.label_names == ["negative", "positive"]
    assert sum(data.class_counts) == 60
    with pytest.raises(UserError, match="test_size must be at least 1, got 0"):
        SyntheticReviews(test_size=0)


def test_another_data_seed_generates_other_reviews() -> None:
    first, second = (
        SyntheticReviews(20, 5, 5, data_seed=seed).split("train").text(0) for seed in (0, 1)
    )
    assert first != second


def test_rows_without_a_label_are_skipped_and_counted_on_request(tmp_path: Path) -> None:
    rows = "".join(f"{text};{label if i % 5 else ' '}\n" for i, (label, text) in enumerate(ROWS))
    path = written(tmp_path / "a.csv", f"text;label\n{rows}")
    with pytest.raises(UserError, match=r"row 2 .*columns\.skip_unlabeled=true"):
        TextFiles(train=path).split("train")
    data = TextFiles(train=path, columns=TextColumns(skip_unlabeled=True))
    assert sum(data.class_counts) + len(data.split("valid")) == 24
    assert data.label_names == ["bad", "good"]
    assert "skipped 6 texts of the train split without a label" in data.corpus().notices


@pytest.mark.parametrize("skip", [False, True])
def test_a_row_is_described_by_its_number_in_the_file(tmp_path: Path, skip: bool) -> None:
    labels = [" " if skip and i % 4 == 1 else "xy"[i % 2] for i in range(40)]
    rows = [f"text {i},{label}\n" for i, label in enumerate(labels)]
    path = written(tmp_path / "a.csv", "text,label\n" + "".join(rows))
    data = TextFiles(train=path, test=path, columns=TextColumns(skip_unlabeled=skip))
    for name in ("train", "valid", "test"):
        for row in range(len(data.split(name))):
            described = data.describe_row(name, row)
            assert described["text"] == f"text {described['row'] - 1}"


def test_classes_and_lengths_of_the_training_texts_are_described(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "text,label\n" + "a b,x\na,x \na b c,y\nd d d,y\n" * 5)
    data = TextFiles(train=path, valid=path)
    assert data.corpus().notices == [
        "the train split has 20 texts: x 10, y 10",
        "tokens per text: median 2, 5 % have at most 1 and 5 % at least 3 (shortest 1, longest 3)",
        "the valid split has 20 texts: x 10, y 10",
    ]


def test_a_text_of_many_times_the_usual_length_is_named(tmp_path: Path) -> None:
    rows = "".join(f"a {i},{'xy'[i % 2]}\n" for i in range(60))
    path = written(tmp_path / "a.csv", f"text,label\n{rows}{'a ' * 1000},x\n")
    hint = "the longest text has 1,000 tokens, .*: --data.tokenizer.max_length truncates texts"
    for max_length, count in ((None, 1), (100, 0)):
        options = TruncatingTokenizerConfig(max_length=max_length)
        notices = TextFiles(train=path, valid=path, tokenizer=options).corpus().notices
        assert len([notice for notice in notices if re.fullmatch(hint, notice)]) == count


def test_a_column_whose_values_are_all_different_is_questioned_as_label(tmp_path: Path) -> None:
    rows = "".join(f"a {i},{i}\n" for i in range(30))
    path = written(tmp_path / "a.csv", f"text,label\n{rows}")
    message = r"the valid split is empty: no two texts have the same label, see --data\.columns"
    with pytest.raises(UserError, match=message):
        TextFiles(train=path).split("train")


def test_the_columns_are_stored_for_prediction(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "review;label\na;x\nb;y\n")
    data = TextFiles(train=path, valid=path, columns=TextColumns("review", separator=";"))
    spec = data.build_spec()
    assert (spec["text_column"], spec["separator"]) == ("review", ";")
