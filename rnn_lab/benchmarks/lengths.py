"""Lengths of real and generated texts, in batches."""

import numpy as np

from rnn_lab.io.downloads import data_root

MAX_STEPS = 400  # to which long texts are truncated
BATCHES = {"SST2": (64, 4), "IMDB": (32, 2)}  # batch size and number of batches


def length_batches(quick: bool = False) -> dict[str, list[list[int]]]:
    """Return batches of lengths by the name of their source.

    Args:
        quick: If True, return generated lengths alone.

    Returns:
        Generated lengths and those of the datasets that are in the data root, in random order.
    """
    rng = np.random.default_rng(0)
    sources = {"generated lengths": (generated_lengths(rng), 64, 1 if quick else 4)}
    if not quick:
        for name, (size, count) in BATCHES.items():
            lengths = dataset_lengths(name)
            if lengths is not None:
                sources[f"lengths of {name}"] = (lengths, size, count)
    return {
        source: rng.choice(lengths, (count, size), replace=False).tolist()
        for source, (lengths, size, count) in sources.items()
    }


def generated_lengths(rng: np.random.Generator, count: int = 1000) -> np.ndarray:
    """Draw lengths like those of sentences: a median of 18, most from 6 to 50."""
    return np.clip(rng.lognormal(np.log(18), 0.5, count), 1, 60).astype(int)


def dataset_lengths(name: str) -> np.ndarray | None:
    """Return the lengths of the training texts of a dataset.

    Args:
        name: `SST2` or `IMDB`.

    Returns:
        Tokens of each text, at most `MAX_STEPS`; None if the dataset is not in the data root.
    """
    if not (data_root() / name.lower()).is_dir():
        return None
    from rnn_lab import datamodules

    data = getattr(datamodules, name)()
    data.prepare_data()
    return np.minimum(np.asarray(data.split("train").lengths), MAX_STEPS)
