"""A linear text classifier, the baseline of all others."""

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from rnn_lab.core.options import as_options
from rnn_lab.core.task import check_sizes
from rnn_lab.nn.functional.ngrams import hash_ngrams
from rnn_lab.nn.functional.padding import lengths_to_mask
from rnn_lab.special_tokens import PAD_ID
from rnn_lab.tasks.text_classification.options import TextLossConfig
from rnn_lab.tasks.text_classification.task import TextClassificationTask


class BagOfNgramsClassifier(TextClassificationTask):
    """Linear text classifier on the presence of words and longer n-grams.

    A word has a weight for each class; an n-gram of two or more words has those of its bucket, into
    which it is hashed. How often an n-gram occurs in a text does not matter.

    Source: Wang & Manning (2012), https://aclanthology.org/P12-2018, for the presence of bigrams;
    Joulin et al. (2017), https://aclanthology.org/E17-2068, for hashed n-grams.

    Args:
        vocab_size: Words in the vocabulary.
        num_classes: Number of classes.
        ngrams: Words of the longest n-grams.
        num_buckets: Number of buckets of the n-grams of two or more words.
        loss: Options of the loss.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Raises:
        UserError: If an argument is invalid, or the data does not provide a size.
    """

    def __init__(
        self,
        vocab_size: int,
        num_classes: int = 2,
        ngrams: int = 2,
        num_buckets: int = 1_000_000,
        *,
        loss: TextLossConfig | None = None,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        self.loss = as_options(TextLossConfig, loss)
        super().__init__(num_classes, optimizer=optimizer, scheduler=scheduler)
        check_sizes(self, vocab_size=vocab_size, ngrams=ngrams, num_buckets=num_buckets)
        self.vocab_size, self.ngrams, self.num_buckets = vocab_size, ngrams, num_buckets
        size = vocab_size + (num_buckets if ngrams > 1 else 0)
        self.weight = nn.EmbeddingBag(size, self.num_outputs, mode="sum", padding_idx=PAD_ID)
        nn.init.zeros_(self.weight.weight)
        self.bias = nn.Parameter(torch.zeros(self.num_outputs))

    def features(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute the row of the weights of each n-gram of a text, without repetitions.

        Args:
            x: Token ids, `(batch, time)`.
            lengths: Tokens in each text, `(batch,)`; None: all rows are full.

        Returns:
            Rows of the weights, `(batch, n-grams)` int64; `PAD_ID` stands for no n-gram.
        """
        parts = []
        for n in range(1, min(self.ngrams, x.size(1)) + 1):
            rows = x if n == 1 else self.vocab_size + hash_ngrams(x, n, self.num_buckets)
            if lengths is not None:
                rows = rows.where(lengths_to_mask(lengths - n + 1, rows.size(1), x.device), PAD_ID)
            parts.append(rows)
        ordered = torch.cat(parts, 1).sort(1).values
        repeated = torch.zeros_like(ordered, dtype=torch.bool)
        repeated[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
        return ordered.masked_fill(repeated, PAD_ID)

    def logits(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute a score for each class, see `TextClassificationTask`."""
        scores: Tensor = self.weight(self.features(x, lengths))
        return scores + self.bias
