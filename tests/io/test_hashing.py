"""Hashes of files and texts, and samples by hash."""

from pathlib import Path

import numpy as np
import pytest

from rnn_lab.errors import UserError
from rnn_lab.io.hashing import file_sha256, hash64, sample_by_hash

DIGESTS = np.array([hash64(b"text %d" % i) for i in range(1000)], np.uint64)


def test_the_hash_of_a_file_depends_on_its_content_alone(tmp_path: Path) -> None:
    one, two, other = (tmp_path / name for name in ("one", "two", "other"))
    one.write_text("same")
    two.write_text("same")
    other.write_text("different")
    assert file_sha256(one) == file_sha256(two) != file_sha256(other)


def test_the_hash_of_a_folder_depends_on_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "pos").mkdir()
    (tmp_path / "pos" / "a.txt").write_text("good")
    before = file_sha256(tmp_path)
    (tmp_path / "pos" / "a.txt").rename(tmp_path / "pos" / "b.txt")
    renamed = file_sha256(tmp_path)
    (tmp_path / "pos" / "b.txt").write_text("bad")
    assert before != renamed != file_sha256(tmp_path)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone cannot be read"):
        file_sha256(tmp_path / "gone")


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 1.0])
def test_about_the_requested_fraction_is_sampled(fraction: float) -> None:
    assert sample_by_hash(DIGESTS, fraction, 0).mean() == pytest.approx(fraction)


def test_a_sample_depends_on_the_seed_but_not_on_the_order() -> None:
    order = np.random.default_rng(0).permutation(len(DIGESTS))
    sampled = sample_by_hash(DIGESTS, 0.3, 1)
    np.testing.assert_array_equal(sample_by_hash(DIGESTS[order], 0.3, 1), sampled[order])
    assert (sample_by_hash(DIGESTS, 0.3, 2) != sampled).any()


def test_duplicates_are_sampled_together() -> None:
    repeated = np.repeat(DIGESTS[:100], np.arange(100) % 4 + 1)
    sampled = sample_by_hash(repeated, 0.4, 0)
    for digest in DIGESTS[:100]:
        assert len(set(sampled[repeated == digest])) == 1
