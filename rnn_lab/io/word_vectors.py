"""Pretrained word vectors in the text format of GloVe and fastText."""

from pathlib import Path

import numpy as np

from rnn_lab.errors import UserError
from rnn_lab.io.archives import open_bytes
from rnn_lab.io.lines import RECORD_LIMIT, bounded_lines
from rnn_lab.io.progress import progress
from rnn_lab.special_tokens import PAD_ID


def read_vectors(path: Path, words: list[str], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the vectors of the words of a vocabulary; all other lines are skipped.

    Args:
        path: File of lines `word number number ...`, optionally compressed as `.gz`; a first line
            of two numbers (the header of fastText) is skipped.
        words: The vocabulary, in the order of its ids.
        size: Dimension of a vector.

    Returns:
        Ids of the words in the file, `(words,)` int64, and their vectors, `(words, size)` float32.

    Raises:
        UserError: If a line has a vector of another size, or no word is in the file.
    """
    ids = {word.encode(): i for i, word in enumerate(words) if i != PAD_ID}
    vectors: dict[int, np.ndarray] = {}
    with open_bytes(path) as file:
        lines = bounded_lines(file, str(path), RECORD_LIMIT)
        for number, line in enumerate(progress(lines, f"reading {path.name}"), 1):
            fields = line.rstrip().split(b" ")
            if number == 1 and len(fields) == 2:
                continue
            word = b" ".join(fields[:-size])  # a few words of GloVe contain spaces
            if len(fields) <= size or (number <= 2 and len(fields) != size + 1):
                raise UserError(
                    f"{path} line {number} has {len(fields) - 1} features, expected {size}: "
                    "set --model.embedding_dim to the size of the vectors in the file"
                )
            if word in ids:
                vectors[ids[word]] = _parse_vector(fields[-size:], f"{path} line {number}")
    if not vectors:
        raise UserError(f"{path} has none of the {len(words)} words of the vocabulary")
    return np.array(list(vectors)), np.stack(list(vectors.values()))


def _parse_vector(fields: list[bytes], location: str) -> np.ndarray:
    try:
        return np.array([float(field) for field in fields], np.float32)
    except ValueError as error:
        raise UserError(f"{location} contains a value that is not a number: {error}") from error
