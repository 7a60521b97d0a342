"""Benchmark datasets of labeled sequences."""

from pathlib import Path
from typing import ClassVar

from rnn_lab.io.downloads import RemoteFile, locate
from rnn_lab.tasks.sequence_classification.data import SequenceDataModule

SKTIME = "https://raw.githubusercontent.com/sktime/sktime/main/sktime/datasets/data/"


class JapaneseVowels(SequenceDataModule):
    """Two vowels spoken by nine men, to be identified: 270 sequences for training, 370 for testing.

    Each step has twelve cepstral coefficients. There is no official validation split: it is drawn
    from the training split.

    Source: Kudo et al. (1999), https://archive.ics.uci.edu/dataset/128/japanese+vowels, in the
    form of sktime/sktime; no license stated for the data.
    """

    folder: ClassVar[str] = "japanese_vowels"
    files: ClassVar[dict[str, RemoteFile]] = {
        "train": RemoteFile(
            "JapaneseVowels_TRAIN.ts",
            (f"{SKTIME}JapaneseVowels/JapaneseVowels_TRAIN.ts",),
            "sha256:68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
        ),
        "test": RemoteFile(
            "JapaneseVowels_TEST.ts",
            (f"{SKTIME}JapaneseVowels/JapaneseVowels_TEST.ts",),
            "sha256:b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
        ),
    }

    def path(self, split: str) -> Path | None:
        """Return the file of a split, downloaded if missing; None if there is none."""
        file = self.files.get(split)
        return None if file is None else locate(self.folder, file, self.root)
