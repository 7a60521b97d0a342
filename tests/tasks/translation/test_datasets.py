"""Benchmark datasets for translation."""

import gzip
import zipfile
from pathlib import Path
from typing import Any

import pytest

from rnn_lab.datamodules import Multi30k, Tatoeba
from rnn_lab.errors import UserError
from rnn_lab.tasks.translation.data import PairDataModule
from rnn_lab.text.split import SplitConfig

LANGUAGES = {"en": "A dog, number {}.", "de": "Ein Hund, Nummer {}."}
ROWS = [(f"Sentence {i // 2}.", f"Phrase {i}\u202f!") for i in range(200)]


@pytest.fixture
def captions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small copy of Multi30k, and a class that knows its sizes."""
    counts = {"train": 20, "valid": 3, "test": 2}
    sizes: dict[str, dict[str, int]] = {language: {} for language in LANGUAGES}
    (tmp_path / "multi30k").mkdir()
    for name, count in counts.items():
        for language, sentence in LANGUAGES.items():
            content = "".join(sentence.format(f"{name}{i}") + "\n" for i in range(count)).encode()
            sizes[language][name] = len(content)
            file = tmp_path / f"multi30k/{Multi30k.names[name]}.{language}.gz"
            file.write_bytes(gzip.compress(content))
    monkeypatch.setattr(Multi30k, "counts", counts)
    monkeypatch.setattr(Multi30k, "sizes", sizes)
    return tmp_path


@pytest.fixture
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small copy of Tatoeba's archive."""
    (tmp_path / "tatoeba_fra_eng").mkdir()
    archived(tmp_path, "".join("\t".join(row) + "\n" for row in ROWS))
    monkeypatch.setattr(Tatoeba, "count", len(ROWS))
    return tmp_path


def archived(root: Path, content: str, member: str = "fra.txt") -> None:
    with zipfile.ZipFile(root / "tatoeba_fra_eng/fra-eng.zip", "w") as archive:
        archive.writestr("_about.txt", "about")
        archive.writestr(member, content)


def rows_of(data: PairDataModule, split: str) -> list[tuple[str, str]]:
    rows = data.split(split)
    return [(rows.source(row), rows.target(row)) for row in range(len(rows))]


@pytest.mark.parametrize("known", [Multi30k, Tatoeba])
def test_every_dataset_states_its_source_and_license(known: type[PairDataModule]) -> None:
    words = known.__doc__ or ""
    assert "Source: " in words
    assert any(word in words for word in ("license", "research"))


@pytest.mark.parametrize("known", [Multi30k, Tatoeba])
@pytest.mark.parametrize(("source", "target"), [("en", "en"), ("en", "cs"), ("xx", "yy")])
def test_an_unavailable_direction_is_refused(known: Any, source: str, target: str) -> None:
    with pytest.raises(UserError, match=rf"as target, got {source} and {target}"):
        known(source=source, target=target)


def test_every_file_of_multi30k_has_a_size_and_a_url() -> None:
    for split in Multi30k.names:
        for language in Multi30k.languages:
            file = Multi30k.file(split, language)
            assert file.size
            assert file.urls[0].endswith(f"/data/task1/raw/{file.name}.gz")


def test_both_directions_have_the_same_pairs(captions: Path) -> None:
    there = Multi30k(root=str(captions))
    back = Multi30k(root=str(captions), source="de", target="en")
    for name, count in Multi30k.counts.items():
        assert rows_of(there, name) == [(b, a) for a, b in rows_of(back, name)]
        assert len(there.split(name)) == count
    assert there.split("valid").target(2) == "Ein Hund, Nummer valid2."
    assert there.tokenizer.target.settings.moses == back.tokenizer.source.settings.moses == "de"


def test_captions_are_tokenized_as_in_published_results(captions: Path) -> None:
    reader = Multi30k(root=str(captions)).tokenizer
    assert reader.joint
    assert reader.target.normalize("Ein Hund, ca. drei.") == "ein hund , ca. drei ."
    assert reader.target.detokenize("ein hund , ca. drei .") == "ein hund, ca. drei."
    assert reader.source.settings.max_vocab_size == 10_000


def test_an_incomplete_file_is_refused(captions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Multi30k, "counts", {**Multi30k.counts, "test": 3})
    with pytest.raises(
        UserError, match=r"test split of Multi30k has 2 pairs, expected 3: .* incomplete"
    ):
        Multi30k(root=str(captions)).split("test")


def test_a_file_of_the_wrong_size_is_refused(captions: Path) -> None:
    (captions / "multi30k/val.de.gz").write_bytes(gzip.compress(b"x\ny\nz\n"))
    with pytest.raises(UserError, match=r"val\.de\.gz has 6 bytes, expected"):
        Multi30k(root=str(captions)).split("train")


@pytest.mark.parametrize(("source", "target"), [("en", "fr"), ("fr", "en")])
def test_all_translations_of_a_sentence_are_in_the_same_split(
    short: Path, source: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tatoeba, "test_fraction", 0.1)
    data = Tatoeba(root=str(short), source=source, target=target, split=SplitConfig(0.1))
    parts = {name: rows_of(data, name) for name in ("train", "valid", "test")}
    sources = [{sentence for sentence, _ in rows} for rows in parts.values()]
    assert sum(map(len, sources)) == len(set().union(*sources))
    pairs = [row if source == "en" else row[::-1] for rows in parts.values() for row in rows]
    assert sorted(pairs) == sorted(ROWS)
    assert all(15 < len(parts[name]) < 25 for name in ("valid", "test"))


def test_other_releases_are_read_with_a_warning(
    short: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archived(short, "".join("\t".join((*row, "CC-BY 2.0")) + "\r\n" for row in ROWS[:100]))
    data = Tatoeba(root=str(short), split=SplitConfig(0.1))
    assert sorted(
        rows_of(data, "train") + rows_of(data, "valid") + rows_of(data, "test")
    ) == sorted(ROWS[:100])
    assert "is another release, with 100 pairs instead of 200" in caplog.text


@pytest.mark.parametrize(
    ("content", "member", "message"),
    [
        ("a\tb\nno tab\n", "fra.txt", r"fra-eng\.zip:fra\.txt line 2 has no tab"),
        ("a\tb\n", "deu.txt", r"fra-eng\.zip does not contain fra\.txt"),
    ],
)
def test_an_archive_without_pairs_is_refused(
    short: Path, content: str, member: str, message: str
) -> None:
    archived(short, content, member)
    with pytest.raises(UserError, match=message):
        Tatoeba(root=str(short)).split("train")


@pytest.mark.data
@pytest.mark.slow
def test_the_downloaded_captions_have_their_official_sizes(data_root: Path) -> None:
    data = Multi30k(root=str(data_root))
    sizes = {name: len(data.split(name)) for name in ("train", "valid", "test")}
    assert sizes == {"train": 29_000, "valid": 1014, "test": 1000}
    assert data.src_vocab_size == data.trg_vocab_size == 10_000
    split, reader = data.split("test"), data.tokenizer.target
    texts = [split.target(row) for row in range(len(split))]
    for text, ids in zip(texts, reader.encode(texts), strict=True):
        assert (
            reader.decode_normalized(ids).replace("<unk>", "") in reader.normalize(text) or 1 in ids
        )


@pytest.mark.data
@pytest.mark.slow
def test_the_downloaded_sentences_are_split_by_source(data_root: Path) -> None:
    data = Tatoeba(root=str(data_root), tokenizer={"kind": "whitespace", "moses": False})
    parts = {name: rows_of(data, name) for name in ("train", "valid", "test")}
    assert sum(map(len, parts.values())) == Tatoeba.count
    sources = {name: {source for source, _ in rows} for name, rows in parts.items()}
    assert sum(map(len, sources.values())) == 98_659
    assert all(1800 < len(sources[name]) < 2200 for name in ("valid", "test"))
