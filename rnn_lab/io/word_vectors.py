"""Word vectors that others have trained, in the text form of GloVe and fastText."""

from pathlib import Path

import numpy as np

from rnn_lab.errors import UserError
from rnn_lab.io.archives import open_bytes
from rnn_lab.io.progress import progress
from rnn_lab.special_tokens import PAD_ID


def read_vectors(path: Path, words: list[str], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the vectors of some words; of all others nothing is kept.

    Args:
        path: File of lines `word number number ...`, also as `.gz`; a first line of two
            numbers (fastText) is passed over.
        words: What to look for, in the order of their ids.
        size: Features of a word.

    Returns:
        Ids of the words found, `(found,)` int64, and their vectors, `(found, size)` float32.

    Raises:
        UserError: If a line has another number of features, or no word is found.
    """
    wanted = {word.encode(): i for i, word in enumerate(words) if i != PAD_ID}
    found: dict[int, np.ndarray] = {}
    with open_bytes(path) as file:
        for number, line in enumerate(progress(file, f"reading {path.name}"), 1):
            parts = line.rstrip().split(b" ")
            if number == 1 and len(parts) == 2:
                continue
            word = b" ".join(parts[:-size])  # a few words of GloVe hold spaces
            if len(parts) <= size or (number <= 2 and len(parts) != size + 1):
                raise UserError(
                    f"{path} line {number} has {len(parts) - 1} features, wanted {size}: "
                    "give --model.embedding_dim as the file has it"
                )
            if word in wanted:
                found[wanted[word]] = _numbers(parts[-size:], f"{path} line {number}")
    if not found:
        raise UserError(f"{path} has none of the {len(words)} words of the vocabulary")
    return np.array(list(found)), np.stack(list(found.values()))


def _numbers(parts: list[bytes], where: str) -> np.ndarray:
    try:
        return np.array([float(part) for part in parts], np.float32)
    except ValueError as error:
        raise UserError(f"{where} holds what is no number: {error}") from error
