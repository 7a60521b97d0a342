import os
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from rnn_lab.datamodules import IMDB, MR, R8, SST2, TREC, AGNews, Names
from rnn_lab.errors import UserError
from rnn_lab.io.downloads import RemoteFile
from rnn_lab.tasks.text_classification.datasets import BenchmarkTexts

DATASETS = (IMDB, SST2, MR, TREC, R8, AGNews, Names)


class Tiny(BenchmarkTexts):
    """Twenty training and two test records."""

    folder = "tiny"
    labels: ClassVar = {"0": "negative", "1": "positive"}
    counts: ClassVar = {"train": 20, "test": 2}
    files: ClassVar = {"train": RemoteFile("train.txt"), "test": RemoteFile("test.txt")}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    (tmp_path / "tiny").mkdir()
    lines = "".join(f"{i % 2} text {i}\n" for i in range(20))
    (tmp_path / "tiny/train.txt").write_text(lines)
    (tmp_path / "tiny/test.txt").write_text("1 text 3\n0 new\n")
    return tmp_path


def test_labels_have_the_names_and_order_of_the_class(tiny: Path) -> None:
    data = Tiny(root=str(tiny))
    assert data.label_names == ["negative", "positive"]
    assert data.split("test").labels.tolist() == [1, 0]
    assert data.corpus().notices[:1] == ["test texts that also occur in training: 1"]


def test_the_argument_root_takes_precedence_over_the_environment(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RNN_LAB_DATA", str(tiny))
    assert len(Tiny().split("test")) == 2
    with pytest.raises(UserError, match=r"train\.txt is not in .*elsewhere"):
        Tiny(root=str(tmp_path / "elsewhere")).split("train")


def test_an_incomplete_file_is_refused(tiny: Path) -> None:
    (tiny / "tiny/test.txt").write_text("1 text 3\n")
    with pytest.raises(UserError, match=r"has 1 records, expected 2: .*test\.txt is incomplete"):
        Tiny(root=str(tiny)).split("test")


def test_an_unknown_label_is_refused(tiny: Path) -> None:
    (tiny / "tiny/test.txt").write_text("1 text 3\n2 new\n")
    with pytest.raises(UserError, match="the test split has the label '2'"):
        Tiny(root=str(tiny)).split("test")


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.__name__)
def test_every_dataset_documents_source_license_and_verification(
    dataset: type[BenchmarkTexts],
) -> None:
    words = dataset.__doc__ or ""
    assert "Source: " in words
    assert any(word in words for word in ("license", "research"))
    files = getattr(dataset, "files", {}).values() or [getattr(dataset, "archive", None)]
    assert all(file is None or file.digest or file.size for file in files)
    assert dataset.labels
    assert dataset.counts


class Expected:
    """Sizes of the real data, as published or counted."""

    splits: ClassVar = {
        "IMDB": {"train": 22_500, "valid": 2500, "test": 25_000},
        "SST2": {"train": 6920, "valid": 872, "test": 1821},
        "MR": {"train": 8636, "valid": 960, "test": 1066},
        "TREC": {"train": 4907, "valid": 545, "test": 500},
        "R8": {"train": 4936, "valid": 549, "test": 2189},
    }
    duplicates: ClassVar = {"IMDB": 123, "SST2": 2, "TREC": 10}


def notice(count: int) -> str:
    return f"test texts that also occur in training: {count}"


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    "dataset", [IMDB, SST2, MR, TREC, R8], ids=lambda dataset: dataset.__name__
)
def test_splits_have_their_official_sizes_and_duplicates_are_counted(
    dataset: type[BenchmarkTexts], data_root: Path
) -> None:
    data = dataset(root=str(data_root))
    sizes = {name: len(data.split(name)) for name in ("train", "valid", "test")}
    expected = Expected.splits[dataset.__name__]
    assert sizes["test"] == expected["test"]
    assert sum(sizes.values()) == sum(expected.values())
    for name, size in expected.items():  # duplicates stay together, and strata are rounded
        assert sizes[name] == pytest.approx(size, abs=5)
    if dataset.__name__ in Expected.duplicates:
        assert notice(Expected.duplicates[dataset.__name__]) in data.corpus().notices
    assert (data.split("test").lengths >= 1).all()


@pytest.mark.data
@pytest.mark.slow
def test_names_are_tokenized_by_character_and_duplicates_stay_together(data_root: Path) -> None:
    data = Names(root=str(data_root))
    rows = {
        name: [(int(label), split.text(row)) for row, label in enumerate(split.labels)]
        for name in ("train", "valid", "test")
        for split in [data.split(name)]
    }
    assert sum(map(len, rows.values())) == 20_050
    assert data.num_classes == 18
    num_splits = Counter(row for some in rows.values() for row in set(some))
    assert max(num_splits.values()) == 1
    row, name = 0, data.split("train").text(0)
    ids = data.split("train")[np.array([row])].tokens[0].tolist()
    assert "".join(data.tokenizer.decode(ids)) == name


@pytest.mark.data
def test_a_missing_file_is_reported_with_its_address(
    data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (data_root / "ag_news/train.csv").exists() or (data_root / "ag_news/train.csv.gz").exists():
        pytest.skip("the training split of AGNews exists")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # tests do not download
    with pytest.raises(UserError, match=r"train\.csv .*https://raw\.githubusercontent\.com"):
        AGNews(root=str(data_root)).split("train")


@pytest.mark.data
def test_the_test_split_of_agnews_has_title_and_description(data_root: Path) -> None:
    texts = list(AGNews(root=str(data_root))._read("test"))
    assert Counter(record.labels for record in texts) == {
        (label,): 1900 for label in AGNews.labels.values()
    }


@pytest.mark.data
def test_drawn_splits_depend_on_the_seed(data_root: Path) -> None:
    def test_texts(**options: Any) -> set[str]:
        split = MR(root=str(data_root), **options).split("test")
        return {split.text(row) for row in range(len(split))}

    assert test_texts() == test_texts(split={"seed": 0})
    assert test_texts() != test_texts(split={"seed": 1})


@pytest.mark.data
def test_mr_is_read_as_windows_1252(data_root: Path) -> None:
    data = MR(root=str(data_root))
    texts = [data.split("train").text(row) for row in range(len(data.split("train")))]
    assert any("é" in text for text in texts)
    assert not any("\ufffd" in text or "\x92" in text for text in texts)


def test_tests_without_data_have_no_data_root() -> None:
    assert "RNN_LAB_DATA" not in os.environ
