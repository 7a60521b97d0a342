"""Sequence tagging: classify every step of a sequence."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from rnn_lab.classification.loss import cross_entropy_step
from rnn_lab.core.options import as_options
from rnn_lab.core.task import StepOutput, Task, check_probabilities, check_sizes
from rnn_lab.errors import UserError
from rnn_lab.nn import build_layer, lengths_to_mask
from rnn_lab.nn.functional.padding import copy_to
from rnn_lab.special_tokens import PAD_ID
from rnn_lab.tasks.tagging.batch import TaggingBatch
from rnn_lab.training.items import ItemReport


@dataclass(frozen=True)
class Dropouts:
    """Dropout probabilities of a sequence tagger.

    Args:
        layer: Between stacked recurrent layers.
        head: Before the linear layer.
    """

    layer: float = 0.0
    head: float = 0.0


class SequenceTagger(Task):
    """Classify every step of a sequence: embedding, any recurrent layer, linear layer.

    If the data has a `blank` label, for steps without a symbol to predict, the accuracy on all
    other steps is also measured, as `accuracy_nonblank`.

    Args:
        vocab_size: Number of different tokens, padding included.
        embedding_dim: Features of an embedded token; None: tokens are one-hot encoded.
        hidden_dim: Units of the recurrent layer, in each direction.
        num_classes: Number of classes.
        num_layers: Number of stacked recurrent layers.
        layer: Recurrent layer by its name in `rnn_lab.nn.LAYERS`.
        layer_kwargs: Further arguments of the recurrent layer, such as `zoneout`.
        bidirectional: If True, use bidirectional layers, so that a label may depend on later steps.
        dropouts: Dropout probabilities.
        label_smoothing: Label smoothing epsilon.
        initialization: `recommended` or `torch` (PyTorch's default), see `rnn_lab.nn.build_layer`.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Raises:
        UserError: If an argument is invalid, or the data does not provide a size.
    """

    batch_type = TaggingBatch
    monitor, mode = "val/accuracy", "max"

    def __init__(  # noqa: PLR0913  # 12 options, optimizer and scheduler
        self,
        vocab_size: int,
        embedding_dim: int | None = 64,
        hidden_dim: int = 64,
        num_classes: int = 2,
        num_layers: int = 1,
        *,
        layer: str = "LSTM",
        layer_kwargs: dict[str, Any] | None = None,
        bidirectional: bool = False,
        dropouts: Dropouts | None = None,
        label_smoothing: float = 0.0,
        initialization: Literal["recommended", "torch"] = "recommended",
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        dropout = as_options(Dropouts, dropouts)
        input_size = vocab_size if embedding_dim is None else embedding_dim
        sizes = {"vocab_size": vocab_size, "embedding_dim": input_size, "hidden_dim": hidden_dim}
        check_sizes(self, **sizes, num_classes=num_classes, num_layers=num_layers)
        check_probabilities(label_smoothing=label_smoothing)
        self.vocab_size = vocab_size
        self.num_classes = num_classes
        self.label_smoothing = label_smoothing
        self.blank: int | None = None
        self.embedding = None
        if embedding_dim is not None:
            self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=PAD_ID)
        self.recurrent = build_layer(
            layer,
            input_size,
            hidden_dim,
            num_layers,
            dropout.layer,
            bidirectional,
            initialization=initialization,
            options=layer_kwargs,
        )
        self.dropout = nn.Dropout(dropout.head)
        self.fc = nn.Linear(self.recurrent.output_size, num_classes)

    def logits(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute a score for each class at every step.

        Args:
            x: Token ids, `(batch, time)`; padding has no influence.
            lengths: Steps in each sequence, `(batch,)`; None: all rows are full.

        Returns:
            Unnormalized scores, `(batch, time, num_classes)`; undefined on padding.
        """
        return self.fc(self.dropout(self._features(x, lengths)))

    def _features(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        if self.embedding is None:
            embedded = functional.one_hot(x, self.vocab_size).to(self.fc.weight)
        else:
            embedded = self.embedding(x)
        return self.recurrent(embedded, lengths)[0]

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute a score for each class at every step, see `logits`."""
        return self.logits(x, lengths)

    def probabilities(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute the probability of each class at every step, `(batch, time, num_classes)`."""
        return self.logits(x, lengths).float().softmax(2)

    def step(self, batch: TaggingBatch) -> StepOutput:
        """Compute the cross-entropy of a batch over real steps, each of which is one target."""
        output = self._features(batch.tokens, batch.lengths).flatten(0, 1)
        labels = batch.labels.flatten()
        if int(batch.lengths.min()) < batch.tokens.size(1):
            # Indices are computed on the CPU: a boolean mask on the GPU would synchronize.
            real = lengths_to_mask(batch.lengths, batch.tokens.size(1)).flatten().nonzero()[:, 0]
            real = copy_to(real, output.device)
            output, labels = output[real], labels[real]
        return cross_entropy_step(
            self.fc(self.dropout(output)), labels, label_smoothing=self.label_smoothing
        )

    def items(self, output: StepOutput, batch: Any) -> dict[str, Any]:
        """Return the steps of each row, and how many of them are labeled correctly."""
        correct = (output.predictions.argmax(1) == output.targets).cpu()
        lengths = batch.lengths.cpu()
        rows = torch.arange(len(lengths)).repeat_interleave(lengths)
        counts = torch.zeros_like(lengths).index_add_(0, rows, correct.long())
        return {"steps": lengths, "correct": counts}

    def reports(self) -> list[Callback]:
        """Return the report of all rows."""
        return [ItemReport()]

    def configure_metrics(self) -> dict[str, Metric | MetricCollection]:
        """Create the accuracy over all real steps, and over those whose label is not blank."""
        count = self.num_classes
        metrics: dict[str, Metric | MetricCollection] = {
            "accuracy": MulticlassAccuracy(count, average="micro")
        }
        if self.blank is not None:
            metrics["accuracy_nonblank"] = MulticlassAccuracy(
                count, average="micro", ignore_index=self.blank
            )
        return metrics

    def setup(self, stage: str) -> None:
        """Read the blank label of the data, if it has one."""
        self.blank = getattr(getattr(self.trainer, "datamodule", None), "blank", None)
        super().setup(stage)

    def check_data(self, data: Any) -> None:
        """Raise a UserError if the data has other classes or more tokens than the model."""
        model, source = type(self).__name__, type(data).__name__
        size = getattr(data, "vocab_size", self.vocab_size)
        if size > self.vocab_size:
            raise UserError(f"{model} has a vocabulary of {self.vocab_size}, {source} of {size}")
        count = getattr(data, "num_classes", self.num_classes)
        if count != self.num_classes:
            raise UserError(f"{model} predicts {self.num_classes} classes, {source} has {count}")
