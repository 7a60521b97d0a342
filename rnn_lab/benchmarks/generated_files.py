"""Large files of invented texts and series."""

from pathlib import Path

import numpy as np

WORDS, WORDS_PER_TEXT, TEXTS_AT_ONCE = 200_000, 200, 1000
BYTES_PER_WORD = 200  # of a small file, so that its vocabulary is small, too
CHANNELS, ROWS_AT_ONCE, SECONDS_PER_DAY = 3, 1_000_000, 86_400


def invented_words(rng: np.random.Generator, count: int) -> list[str]:
    """Return different words, of which the frequent ones are short."""
    syllables = [first + second for first in "bcdfghklmnprstvwz" for second in "aeiou"]
    words: dict[str, None] = {}
    while len(words) < count:
        size = 1 + len(str(len(words))) // 2
        words["".join(rng.choice(syllables, size))] = None
    return list(words)


def write_texts(path: Path, size: int) -> int:
    """Write labeled lines of words drawn by Zipf's law.

    Args:
        path: The file.
        size: Approximate number of bytes.

    Returns:
        The number of bytes written.
    """
    rng = np.random.default_rng(0)
    count = min(WORDS, max(100, size // BYTES_PER_WORD))
    words = np.array(invented_words(rng, count), object)
    with open(path, "w", encoding="utf-8") as file:
        while file.tell() < size:
            ranks = count ** rng.random((TEXTS_AT_ONCE, WORDS_PER_TEXT))
            texts = words[ranks.astype(int) - 1].tolist()
            for number, text in enumerate(texts):
                file.write(f"{'good' if number % 2 else 'bad'} {' '.join(text)}\n")
    return path.stat().st_size


def write_table(path: Path, rows: int) -> int:
    """Write a Parquet file with a timestamp per second and three noisy sine waves.

    Args:
        path: The file.
        rows: Number of rows.

    Returns:
        The number of rows.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    rng = np.random.default_rng(0)
    names = [f"y{channel + 1}" for channel in range(CHANNELS)]
    schema = pa.schema([("date", pa.timestamp("s")), *((name, pa.float32()) for name in names)])
    with ParquetWriter(path, schema, compression="lz4") as writer:
        for first in range(0, rows, ROWS_AT_ONCE):
            seconds = np.arange(first, min(first + ROWS_AT_ONCE, rows))
            wave = np.sin(seconds[:, None] * (2 * np.pi / SECONDS_PER_DAY) + np.arange(CHANNELS))
            values = (wave + 0.1 * rng.standard_normal(wave.shape)).astype(np.float32)
            columns = [seconds.astype("datetime64[s]"), *values.T]
            writer.write_table(pa.table([pa.array(column) for column in columns], schema))
    return rows
