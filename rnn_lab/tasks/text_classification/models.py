"""Classifiers of texts: one family, and the architectures that fix its choices."""

from typing import Any, Literal

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from rnn_lab.classification.loss import class_scores, weigh_classes
from rnn_lab.classification.metrics import class_metrics
from rnn_lab.classification.reports import ConfusionPlot, Mistakes
from rnn_lab.core.task import StepOutput, Task, check_sizes
from rnn_lab.errors import UserError
from rnn_lab.nn import EmbeddingDropout, WordDropout, build_layer, pool
from rnn_lab.special_tokens import PAD_ID, UNK_ID
from rnn_lab.tasks.text_classification.batch import TextBatch


class TextClassifier(Task):
    """Label a text: word vectors, a recurrent layer, one vector for the text, a linear layer.

    The family of all text classifiers, for comparisons and sweeps; the named architectures below
    fix most of its arguments.

    Args:
        vocab_size: Words in the vocabulary.
        embedding_dim: Features of a word.
        hidden_dim: Features of a step, in each direction.
        num_classes: Number of labels.
        num_layers: Recurrent layers on top of each other.
        layer: Recurrent layer by its name in `rnn_lab.nn.LAYERS`.
        layer_options: What that layer takes by name beside its sizes, such as `zoneout`.
        bidirectional: Whether each layer also reads backwards.
        pooling: What stands for the text: `final` (the state after the last word), `mean`, `max`,
            `attention`, or several joined by a plus, such as `mean+max`.
        layer_dropout: Dropout between recurrent layers.
        head_dropout: Dropout before the linear layer.
        embedding_dropout: Share of the vocabulary dropped whole, drawn for each batch.
        word_dropout: Share of the words read as unknown in training.
        label_smoothing: Share of each target that is spread evenly over all classes.
        class_weights: Weight of each class in the loss; `balanced` makes it inverse to the
            number of training texts of the class, one on average over the texts.
        class_counts: Training texts of each class; the data says it.
        multi_label: Whether a text may have several labels; the data says it.
        embedding_std: Standard deviation of the first word vectors.
        initialization: `recommended` or `torch` (torch's own), see `rnn_lab.nn.build_layer`.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Raises:
        UserError: If an argument has no meaning, or the data does not give a size.
    """

    batch_type = TextBatch
    predictor = "rnn_lab.tasks.text_classification.predictor.TextPredictor"
    monitor, mode = "val/accuracy", "max"

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 100,
        hidden_dim: int = 256,
        num_classes: int = 2,
        num_layers: int = 1,
        *,
        layer: str = "LSTM",
        layer_options: dict[str, Any] | None = None,
        bidirectional: bool = False,
        pooling: str = "final",
        layer_dropout: float = 0.3,
        head_dropout: float = 0.5,
        embedding_dropout: float = 0.0,
        word_dropout: float = 0.0,
        label_smoothing: float = 0.0,
        class_weights: Literal["balanced"] | list[float] | None = None,
        class_counts: list[int] | None = None,
        multi_label: bool = False,
        embedding_std: float = 1.0,
        initialization: Literal["recommended", "torch"] = "recommended",
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        check_sizes(self, vocab_size=vocab_size, num_classes=num_classes, num_layers=num_layers)
        self.class_weights: Tensor | None
        self.num_classes = num_classes
        self.multi_label = multi_label
        self.label_smoothing = label_smoothing
        self.word_dropout = WordDropout(word_dropout, UNK_ID)
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=PAD_ID)
        with torch.no_grad():
            self.embedding.weight.mul_(embedding_std)
        self.embedding_dropout = EmbeddingDropout(embedding_dropout)
        self.recurrent = build_layer(
            layer,
            embedding_dim,
            hidden_dim,
            num_layers,
            layer_dropout,
            bidirectional,
            initialization=initialization,
            options=layer_options,
        )
        self.pool = pool(pooling, self.recurrent.output_size, bidirectional)
        self.dropout = nn.Dropout(head_dropout)
        self.fc = nn.Linear(self.pool.output_size, num_classes)
        weights = weigh_classes(class_weights, class_counts, num_classes)
        self.register_buffer("class_weights", weights, persistent=False)

    def logits(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Score the classes.

        Args:
            x: Word ids, `(batch, time)`.
            lengths: Words in each text, `(batch,)`; None if every row is full.

        Returns:
            Unnormalised scores, `(batch, num_classes)`.
        """
        x = self.embedding_dropout(self.embedding, self.word_dropout(x))
        output, _ = self.recurrent(x, lengths)
        return self.fc(self.dropout(self.pool(output, lengths)))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Score the classes, see `logits`."""
        return self.logits(x, lengths)

    def probabilities(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Say how likely each class is, `(batch, num_classes)`."""
        logits = self.logits(x, lengths).float()
        return logits.sigmoid() if self.multi_label else logits.softmax(1)

    def step(self, batch: TextBatch) -> StepOutput:
        """Score a batch by cross-entropy."""
        logits = self.logits(batch.tokens, batch.lengths)
        return class_scores(logits, batch.labels, self.class_weights, self.label_smoothing)

    def reports(self) -> list[Callback]:
        """The confusion matrix and the most confident errors of a test."""
        return [ConfusionPlot(), Mistakes()]

    def configure_metrics(self) -> dict[str, Metric | MetricCollection]:
        """Accuracy, macro F1, AUROC where there are two classes, and the confusion matrix."""
        return class_metrics(self.num_classes, self.multi_label)

    def setup(self, stage: str) -> None:
        """Start from the data's word vectors, if it has any."""
        super().setup(stage)
        ask = getattr(getattr(self.trainer, "datamodule", None), "word_vectors", None)
        vectors = ask(self.embedding.embedding_dim) if ask and stage == "fit" else None
        if vectors is not None:
            rows, values = vectors
            with torch.no_grad():
                self.embedding.weight[rows] = values.to(self.embedding.weight)

    def check_data(self, data: Any) -> None:
        """Refuse labels that the model cannot tell."""
        model, source = type(self).__name__, type(data).__name__
        if getattr(data, "multi_label", False) and not self.multi_label:
            raise UserError(f"{model} gives one label, {source} has several; try TextClassifier")
        count = getattr(data, "num_classes", self.num_classes)
        if count != self.num_classes:
            wish = "; try LSTMClassifier" if isinstance(self, SentimentLSTM) else ""
            raise UserError(f"{model} tells {self.num_classes} classes, {source} has {count}{wish}")


class LSTMClassifier(TextClassifier):
    """Label a text by the final state of an LSTM.

    Source: Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735.

    Args:
        vocab_size: Words in the vocabulary.
        embedding_dim: Features of a word.
        hidden_dim: Features of the state.
        num_classes: Number of labels.
        num_layers: Layers on top of each other, with dropout 0.3 between them.
        optimizer: See `Task`.
        scheduler: See `Task`.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 100,
        hidden_dim: int = 256,
        num_classes: int = 2,
        num_layers: int = 1,
        *,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(
            vocab_size,
            embedding_dim,
            hidden_dim,
            num_classes,
            num_layers,
            optimizer=optimizer,
            scheduler=scheduler,
        )


class BiLSTMClassifier(TextClassifier):
    """Label a text by the two final states of a two-layer LSTM that reads both ways.

    Source: Schuster & Paliwal (1997), https://doi.org/10.1109/78.650093.

    Args:
        vocab_size: Words in the vocabulary.
        embedding_dim: Features of a word.
        hidden_dim: Features of the state, in each direction.
        num_classes: Number of labels.
        optimizer: See `Task`.
        scheduler: See `Task`.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 100,
        hidden_dim: int = 256,
        num_classes: int = 2,
        *,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(
            vocab_size,
            embedding_dim,
            hidden_dim,
            num_classes,
            num_layers=2,
            bidirectional=True,
            optimizer=optimizer,
            scheduler=scheduler,
        )


class PackedLSTM(TextClassifier):
    """Label texts of unlike lengths by the final state of an LSTM, each read to its own end.

    Gives what a packed LSTM gives, without packing, which is slow on a CPU.

    Args:
        vocab_size: Words in the vocabulary.
        embedding_dim: Features of a word.
        hidden_dim: Features of the state.
        num_classes: Number of labels.
        optimizer: See `Task`.
        scheduler: See `Task`.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 100,
        hidden_dim: int = 256,
        num_classes: int = 2,
        *,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(
            vocab_size,
            embedding_dim,
            hidden_dim,
            num_classes,
            head_dropout=0.0,
            optimizer=optimizer,
            scheduler=scheduler,
        )


class SentimentLSTM(TextClassifier):
    """Say how likely a text is positive: a deep LSTM that reads both ways, one output.

    Its single output is the logit of the second of two classes; the loss is taken on it.

    Args:
        vocab_size: Words in the vocabulary.
        embedding_dim: Features of a word.
        hidden_dim: Features of the state, in each direction.
        num_layers: Layers on top of each other, with dropout 0.5 between them.
        optimizer: See `Task`.
        scheduler: See `Task`.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 100,
        hidden_dim: int = 256,
        num_layers: int = 2,
        *,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(
            vocab_size,
            embedding_dim,
            hidden_dim,
            num_layers=num_layers,
            bidirectional=True,
            layer_dropout=0.5,
            optimizer=optimizer,
            scheduler=scheduler,
        )
        self.fc = nn.Linear(self.pool.output_size, 1)

    def logits(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Score the two classes `(batch, 2)`: the first by zero, the second by the output."""
        output = super().logits(x, lengths)
        return torch.cat([torch.zeros_like(output), output], 1)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Say how likely each text is of the second class, `(batch,)`."""
        return self.probabilities(x, lengths)[:, 1]
