"""A Transformer for text classification."""

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from rnn_lab.core.options import as_options
from rnn_lab.core.task import check_probabilities, check_sizes
from rnn_lab.errors import UserError
from rnn_lab.nn import EmbeddingDropout, WordDropout, build_pooling
from rnn_lab.nn.transformer import TransformerEncoder, TransformerOptions
from rnn_lab.special_tokens import PAD_ID, UNK_ID
from rnn_lab.tasks.text_classification.options import Dropouts, TextLossConfig
from rnn_lab.tasks.text_classification.task import TextClassificationTask


class TransformerClassifier(TextClassificationTask):
    """Text classifier on a Transformer encoder: self-attention in place of recurrence.

    Source: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, section 3.

    Args:
        vocab_size: Words in the vocabulary.
        hidden_dim: Size of the embeddings, and features of each layer.
        num_classes: Number of classes.
        num_layers: Number of stacked layers.
        pooling: Pooling over time: `mean`, `max`, `attention`, `final` (the output at the last
            token), or several joined by a plus, such as `mean+max`.
        transformer: Options of the layers.
        dropouts: Dropout probabilities.
        loss: Options of the loss.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Raises:
        UserError: If an argument is invalid, or the data does not provide a size.
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_dim: int = 128,
        num_classes: int = 2,
        num_layers: int = 2,
        *,
        pooling: str = "mean",
        transformer: TransformerOptions | None = None,
        dropouts: Dropouts | None = None,
        loss: TextLossConfig | None = None,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        self.loss = as_options(TextLossConfig, loss)
        super().__init__(num_classes, optimizer=optimizer, scheduler=scheduler)
        check_sizes(self, vocab_size=vocab_size, hidden_dim=hidden_dim, num_layers=num_layers)
        dropouts = as_options(Dropouts, dropouts)
        check_probabilities(layer_dropout=dropouts.layer)
        self.word_dropout = WordDropout(dropouts.word, UNK_ID)
        self.embedding = nn.Embedding(vocab_size, hidden_dim, padding_idx=PAD_ID)
        self.embedding_dropout = EmbeddingDropout(dropouts.embedding)
        options = as_options(TransformerOptions, transformer)
        try:
            self.encoder = TransformerEncoder(hidden_dim, num_layers, options, dropouts.layer)
            self.pool = build_pooling(pooling, hidden_dim)
        except ValueError as error:
            raise UserError(str(error)) from error
        self.dropout = nn.Dropout(dropouts.head)
        self.fc = nn.Linear(self.pool.output_size, self.num_outputs)

    @property
    def word_embedding(self) -> nn.Embedding:
        """Embedding that word vectors of the data are loaded into."""
        return self.embedding

    def logits(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute a score for each class, see `TextClassificationTask`."""
        embedded = self.embedding_dropout(self.embedding, self.word_dropout(x))
        return self.fc(self.dropout(self.pool(self.encoder(embedded, lengths), lengths)))
