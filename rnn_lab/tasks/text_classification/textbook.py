"""The textbook's dataset and collation, for people who come from there.

Nothing here is used by the data modules, which read flat ids and need no collation.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from rnn_lab.special_tokens import PAD_ID


class SentimentDataset(Dataset[tuple[Tensor, int]]):
    """Texts as word ids with their labels, split at white space.

    Args:
        texts: Raw texts.
        labels: Class id of each text.
        vocab: Id of each word; `<UNK>` is read for the others.
        max_length: Words of a text that are read at the most.

    Raises:
        ValueError: If there are not as many labels as texts, or `<UNK>` has no id.
    """

    def __init__(
        self,
        texts: Sequence[str],
        labels: Sequence[int],
        vocab: Mapping[str, int],
        max_length: int = 100,
    ) -> None:
        if len(texts) != len(labels):
            raise ValueError(f"{len(texts)} texts need as many labels, got {len(labels)}")
        if "<UNK>" not in vocab:
            raise ValueError("the vocabulary must have an id for '<UNK>'")
        self.texts, self.labels = texts, labels
        self.vocab, self.max_length = vocab, max_length

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, idx: int) -> tuple[Tensor, int]:
        """The ids of a text, `(words,)` int64, and its label."""
        words = self.texts[idx].split()[: self.max_length]
        ids = [self.vocab.get(word, self.vocab["<UNK>"]) for word in words]
        return torch.tensor(ids, dtype=torch.int64), self.labels[idx]


def collate_variable_length(
    batch: Sequence[tuple[Tensor, int]],
) -> tuple[Tensor, Tensor, Tensor]:
    """Pad texts with zeros to the longest of them; their order is kept.

    Args:
        batch: Pairs of word ids `(words,)` and label.

    Returns:
        Word ids `(batch, time)`, labels `(batch,)` and lengths `(batch,)`, all int64.

    Raises:
        ValueError: If a text is empty: a recurrent layer cannot read it.
    """
    sequences, labels = zip(*batch, strict=True)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    if (lengths == 0).any():
        raise ValueError(f"row {int(lengths.argmin())} of the batch is an empty text")
    padded = pad_sequence(list(sequences), batch_first=True, padding_value=PAD_ID)
    return padded, torch.tensor(labels), lengths
