"""Dataset and collate function of the textbook.

The data modules do not use them: they gather batches from ids on disk without a collate function.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from rnn_lab.special_tokens import PAD_ID


class SentimentDataset(Dataset[tuple[Tensor, int]]):
    """Labeled texts as word ids, tokenized at whitespace.

    Args:
        texts: Raw texts.
        labels: Class id of each text.
        vocab: Id of each word; words outside it have the id of `<UNK>`.
        max_length: Words after which a text is truncated.

    Raises:
        ValueError: If the numbers of texts and labels differ, or `<UNK>` has no id.
    """

    def __init__(
        self,
        texts: Sequence[str],
        labels: Sequence[int],
        vocab: Mapping[str, int],
        max_length: int = 100,
    ) -> None:
        if len(texts) != len(labels):
            raise ValueError(f"expected {len(texts)} labels, one per text, got {len(labels)}")
        if "<UNK>" not in vocab:
            raise ValueError("vocab must have an id for '<UNK>'")
        self.texts, self.labels = texts, labels
        self.vocab, self.max_length = vocab, max_length

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, idx: int) -> tuple[Tensor, int]:
        """Return the ids of a text, `(words,)` int64, and its label."""
        words = self.texts[idx].split()[: self.max_length]
        ids = [self.vocab.get(word, self.vocab["<UNK>"]) for word in words]
        return torch.tensor(ids, dtype=torch.int64), self.labels[idx]


def collate_variable_length(
    batch: Sequence[tuple[Tensor, int]],
) -> tuple[Tensor, Tensor, Tensor]:
    """Collate texts into a batch, padded with zeros, in their order.

    Args:
        batch: Pairs of word ids `(words,)` and label.

    Returns:
        Word ids `(batch, time)`, labels `(batch,)` and lengths `(batch,)`, all int64.

    Raises:
        ValueError: If a text is empty, which recurrent layers do not accept.
    """
    sequences, labels = zip(*batch, strict=True)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    if (lengths == 0).any():
        raise ValueError(f"row {int(lengths.argmin())} of the batch is empty: remove empty texts")
    padded = pad_sequence(list(sequences), batch_first=True, padding_value=PAD_ID)
    return padded, torch.tensor(labels), lengths
