"""The cache of preprocessed data."""

from pathlib import Path

import pytest

from rnn_lab.errors import UserError
from rnn_lab.io import cache
from rnn_lab.io.cache import find_damage, get_or_build


def write(text: str):
    return lambda folder: (folder / "data.txt").write_text(text)


def test_an_entry_is_built_once_per_key(tmp_path: Path) -> None:
    first = get_or_build(tmp_path, {"seed": 1}, write("first"))
    assert get_or_build(tmp_path, {"seed": 1}, write("second")) == first
    assert (first / "data.txt").read_text() == "first"
    other = get_or_build(tmp_path, {"seed": 2}, write("second"))
    assert (other / "data.txt").read_text() == "second"


def test_the_order_of_the_key_does_not_matter(tmp_path: Path) -> None:
    first = get_or_build(tmp_path, {"a": 1, "b": 2}, write("first"))
    assert get_or_build(tmp_path, {"b": 2, "a": 1}, write("second")) == first


def test_an_entry_of_another_format_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = get_or_build(tmp_path, {}, write("first"))
    monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
    assert get_or_build(tmp_path, {}, write("second")) != first


def test_a_failed_build_leaves_no_entry(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "data.txt").write_text("half")
        raise ValueError("no space")

    with pytest.raises(ValueError, match="no space"):
        get_or_build(tmp_path, {}, fail)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]
    assert (get_or_build(tmp_path, {}, write("complete")) / "data.txt").read_text() == "complete"


def test_the_temporary_folder_of_a_killed_build_is_removed(tmp_path: Path) -> None:
    entry = get_or_build(tmp_path, {}, write("first"))
    entry.rename(tmp_path / f"{entry.name}.0123abcd.part")
    assert get_or_build(tmp_path, {}, write("second")) == entry
    assert (entry / "data.txt").read_text() == "second"
    assert not list(tmp_path.glob("*.part"))


def test_an_unwritable_cache_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"the data cannot be prepared in .*file"):
        get_or_build(tmp_path / "file" / "cache", {}, write(""))


DAMAGE = {
    "bit": lambda file: file.write_bytes(b"fIrst"),
    "size": lambda file: file.write_bytes(b"firs"),
    "missing": lambda file: file.unlink(),
    "extra": lambda file: file.with_name("more").write_text(""),
    "no checksums": lambda file: file.with_name(cache.CHECKSUMS).unlink(),
    "damaged checksums": lambda file: file.with_name(cache.CHECKSUMS).write_text("[1]"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_built_again_with_a_message(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    entry = get_or_build(tmp_path, {}, write("first"))
    assert get_or_build(tmp_path, {}, write("second")) == entry
    DAMAGE[damage](entry / "data.txt")
    assert get_or_build(tmp_path, {}, write("third")) == entry
    assert (entry / "data.txt").read_text() == "third"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "is damaged (" in caplog.text
    assert "prepared again" in caplog.text
    assert find_damage(entry) == ""


def test_checksums_are_computed_once_per_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = get_or_build(tmp_path, {}, write("first"))
    assert find_damage(entry) == ""
    monkeypatch.setattr(cache.zlib, "crc32", None)
    assert find_damage(entry) == ""
