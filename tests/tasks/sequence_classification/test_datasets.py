from pathlib import Path

import pytest

from rnn_lab.datamodules import JapaneseVowels
from rnn_lab.errors import UserError


@pytest.mark.data
def test_japanese_vowels_match_the_published_numbers(data_root: Path) -> None:
    data = JapaneseVowels(root=str(data_root), valid_fraction=0)
    train, test = data.split("train"), data.split("test")
    assert data.class_counts == [30] * 9
    assert test.class_counts(9) == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    assert (train.lengths.min(), train.lengths.max()) == (7, 26)
    assert (test.lengths.min(), test.lengths.max()) == (7, 29)
    assert (data.input_dim, data.label_names) == (12, [str(speaker) for speaker in range(1, 10)])


@pytest.mark.data
def test_a_modified_file_is_refused(data_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "japanese_vowels"
    folder.mkdir()
    for file in (data_root / "japanese_vowels").iterdir():
        (folder / file.name).write_bytes(file.read_bytes().replace(b"1.860936", b"1.860937"))
    with pytest.raises(UserError, match=r"TRAIN\.ts has sha256 .*: remove or replace it"):
        JapaneseVowels(root=str(tmp_path)).split("train")
