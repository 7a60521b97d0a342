"""Hashes of files and texts, and random samples that depend on hashes alone."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from rnn_lab.io.archives import read_errors_named
from rnn_lab.io.waiting import waiting


def file_sha256(path: Path) -> Any:
    """Return the SHA-256 of a file; for a folder, the names and hashes of its labeled files."""
    if path.is_dir():
        return [
            [str(file.relative_to(path)), file_sha256(file)] for file in sorted(path.glob("*/*"))
        ]
    with read_errors_named(path), open(path, "rb") as file, waiting(f"hashing {path.name}"):
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_of(values: Any) -> str:
    """Hash plain values, of which those of mappings may be in any order.

    Example:
        >>> hash_of({"a": 1, "b": [2]}) == hash_of({"b": [2], "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def hash64(raw: bytes) -> int:
    """Hash a text to 64 bits, to detect duplicates."""
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little")


def sample_by_hash(digests: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Sample about a fraction of texts, depending on the seed and their hashes alone.

    Returns:
        A mask, True for sampled texts; duplicates are sampled together.
    """
    mixed = _mix(digests ^ _mix(np.array([seed]).astype(np.uint64)))
    values, counts = np.unique(mixed, return_counts=True)
    sizes = np.concatenate([[0], np.cumsum(counts)])
    limit = np.argmin(np.abs(sizes - fraction * len(mixed)))  # duplicates are not split
    return np.isin(mixed, values[:limit])


def _mix(values: np.ndarray) -> np.ndarray:
    """Scramble 64-bit integers (the finalizer of splitmix64, Steele et al. 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
