"""Digests of files and texts, and samples that depend on digests alone."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from rnn_lab.io.archives import damage_named


def file_sha256(path: Path) -> Any:
    """Digest a file; of a folder all names and contents."""
    if path.is_dir():
        return [
            [str(file.relative_to(path)), file_sha256(file)] for file in sorted(path.glob("*/*"))
        ]
    with damage_named(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash64(raw: bytes) -> int:
    """Digest a text to 64 bits, to tell equal ones."""
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little")


def sample_by_hash(digests: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Draw about a fraction of some texts by the seed and their digests alone.

    Returns:
        Whether each is drawn; equal texts are drawn together.
    """
    mixed = _mix(digests ^ _mix(np.array([seed]).astype(np.uint64)))
    values, counts = np.unique(mixed, return_counts=True)
    sizes = np.concatenate([[0], np.cumsum(counts)])
    limit = np.argmin(np.abs(sizes - fraction * len(mixed)))  # whole texts, no copy apart
    return np.isin(mixed, values[:limit])


def _mix(values: np.ndarray) -> np.ndarray:
    """Scramble 64-bit integers (the finaliser of splitmix64, Steele et al. 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
