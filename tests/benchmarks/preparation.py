"""Preparation of a large corpus: seconds, and the memory that is held at the most.

    python tests/benchmarks/preparation.py --gigabytes 2

Writes lines of label and text into a temporary folder: 200 words each, drawn by Zipf's law from
200,000, with punctuation and one number. Then a process of its own prepares them as `TextFiles`
does for everybody: a tenth is drawn for validation, words are counted, texts become ids. Meanwhile
its anonymous memory is sampled; pages of mapped files are not counted, the system takes them back
when it wants (macOS does not tell them apart: there it is the resident size).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

LIMIT = 1500  # megabytes that preparation may hold
WORDS, WORDS_A_TEXT, TEXTS_AT_ONCE = 200_000, 200, 1000


def invented_words(rng: np.random.Generator) -> list[str]:
    """Distinct words, the frequent ones short."""
    syllables = [first + second for first in "bcdfghklmnprstvwz" for second in "aeiou"]
    words: dict[str, None] = {}
    while len(words) < WORDS:
        size = 1 + len(str(len(words))) // 2
        words["".join(rng.choice(syllables, size))] = None
    return list(words)


def write_texts(path: Path, size: int) -> int:
    """Write texts of about `size` bytes; returns the bytes written."""
    rng = np.random.default_rng(0)
    words = invented_words(rng)
    forms = np.array([word + end for end in ("", ",", ".") for word in words], object)
    with open(path, "w", encoding="utf-8") as file:
        while file.tell() < size:
            ranks = (WORDS ** rng.random((TEXTS_AT_ONCE, WORDS_A_TEXT))).astype(int) - 1
            ends = rng.choice(3, ranks.shape, p=(0.9, 0.05, 0.05))
            numbers = rng.integers(10_000_000, size=TEXTS_AT_ONCE)
            texts = forms[ranks + WORDS * ends].tolist()
            for text, number in zip(texts, numbers, strict=True):
                file.write(f"{'good' if number % 2 else 'bad'} {number} {' '.join(text)}\n")
    return path.stat().st_size


def anonymous_megabytes(pid: int) -> float:
    """Memory of a process that no file stands behind."""
    status = Path(f"/proc/{pid}/status")
    if sys.platform == "darwin":
        shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True)
        return int(shown.stdout or 0) / 1024
    lines = (line.split() for line in status.read_text().splitlines())
    return next((int(line[1]) / 1024 for line in lines if line[0] == "RssAnon:"), 0.0)


def watch(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run a command; returns its seconds and the most megabytes it held."""
    start, peak = time.perf_counter(), 0.0
    process = subprocess.Popen(command, env=environment)
    while process.poll() is None:
        peak = max(peak, anonymous_megabytes(process.pid))
        time.sleep(0.05)
    if process.returncode:
        sys.exit("the preparation failed")
    return time.perf_counter() - start, peak


def prepare(path: str) -> None:
    """What the watched process does."""
    from rnn_lab.datamodules import TextFiles

    data = TextFiles(train=path)
    train, valid = data.split("train"), data.split("valid")
    print(
        f"{len(train):,} texts to train on, {len(valid):,} to validate on, "
        f"{train.offsets[0][-1] + valid.offsets[0][-1]:,} words, {data.vocab_size:,} of them known"
    )


def main() -> None:
    """Generate, prepare, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--prepare", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.prepare:
        return prepare(options.prepare)
    with tempfile.TemporaryDirectory(prefix="rnn-lab-") as folder:
        path = Path(folder) / "texts.txt"
        size = write_texts(path, int(options.gigabytes * 1e9)) / 1e6
        print(f"{size:,.0f} MB of text are written", flush=True)
        seconds, peak = watch(
            [sys.executable, __file__, "--prepare", str(path)],
            {**os.environ, "XDG_CACHE_HOME": folder, "HOME": folder},
        )
    verdict = "under" if peak < LIMIT else "OVER"
    print(f"prepared in {seconds:.0f} s, {size / seconds:.1f} MB/s")
    print(f"{peak:,.0f} MB of memory at the most, {verdict} the limit of {LIMIT:,} MB")
    sys.exit(peak >= LIMIT)


if __name__ == "__main__":
    main()
