"""Pretrained word vectors in text files."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from rnn_lab.errors import UserError
from rnn_lab.io.word_vectors import read_vectors
from rnn_lab.text.tokenizer import SPECIAL_TOKENS

WORDS = [*SPECIAL_TOKENS, "good", "été", "rare"]
GLOVE = "the 9 9 9\nété 1 2.5 -3e-1\n. . 7 7 7\ngood 4 5 6\n"
FASTTEXT = "4 3\n" + GLOVE.replace("\n", " \n")


def written(folder: Path, content: str) -> Path:
    path = folder / "vectors.txt"
    path.write_text(content, "utf-8")
    return path


@pytest.mark.parametrize("content", [GLOVE, FASTTEXT], ids=["glove", "fasttext"])
def test_the_vectors_of_the_vocabulary_are_read(tmp_path: Path, content: str) -> None:
    ids, vectors = read_vectors(written(tmp_path, content), WORDS, 3)
    assert [WORDS[i] for i in ids] == ["été", "good"]
    np.testing.assert_allclose(vectors, [[1, 2.5, -0.3], [4, 5, 6]])
    assert ids.dtype == np.int64


def test_a_compressed_file_is_read_the_same(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt.gz"
    path.write_bytes(gzip.compress(GLOVE.encode()))
    assert read_vectors(path, WORDS, 3)[0].tolist() == [3, 2]


def test_the_unknown_word_may_have_a_vector_but_padding_has_none(tmp_path: Path) -> None:
    path = written(tmp_path, "<pad> 1 1\n<unk> 2 2\n")
    ids, vectors = read_vectors(path, WORDS, 2)
    assert ids.tolist() == [1]
    assert vectors.tolist() == [[2, 2]]


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("content", [GLOVE, FASTTEXT], ids=["glove", "fasttext"])
def test_a_size_mismatch_is_reported_with_the_option_to_set(
    tmp_path: Path, content: str, size: int
) -> None:
    message = f"has 3 features, expected {size}: set --model.embedding_dim to the size"
    with pytest.raises(UserError, match=message):
        read_vectors(written(tmp_path, content), WORDS, size)


def test_a_truncated_line_and_a_value_that_is_not_a_number_are_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 3 has 1 features, expected 3"):
        read_vectors(written(tmp_path, "the 1 2 3\na 1 2 3\ngood 1\n"), WORDS, 3)
    with pytest.raises(UserError, match="line 2 contains a value that is not a number"):
        read_vectors(written(tmp_path, "the 1 2 3\ngood 1 2 x\n"), WORDS, 3)


def test_a_file_without_any_word_of_the_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has none of the 2 words of the vocabulary"):
        read_vectors(written(tmp_path, GLOVE), list(SPECIAL_TOKENS), 3)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"vectors.txt cannot be read"):
        read_vectors(tmp_path / "vectors.txt", WORDS, 3)
