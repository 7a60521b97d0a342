"""A label for every step of a sequence."""

from dataclasses import dataclass
from typing import Any, Literal

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from rnn_lab.classification.loss import cross_entropy_step
from rnn_lab.core.options import as_options
from rnn_lab.core.task import StepOutput, Task, check_sizes
from rnn_lab.errors import UserError
from rnn_lab.nn import build_layer, lengths_to_mask
from rnn_lab.special_tokens import PAD_ID
from rnn_lab.tasks.tagging.batch import TaggingBatch


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
    """Label every step of a sequence: vectors of its tokens, a recurrent layer, a linear layer.

    Where the data has a `blank` label, for steps at which there is nothing to say, accuracy is
    also measured on all other steps alone, as `accuracy_nonblank`.

    Args:
        vocab_size: Different tokens, padding among them.
        embedding_dim: Features of a token; None gives each token a feature of its own.
        hidden_dim: Features of the state, in each direction.
        num_classes: Number of labels.
        num_layers: Recurrent layers on top of each other.
        layer: Recurrent layer by its name in `rnn_lab.nn.LAYERS`.
        layer_kwargs: What that layer takes by name beside its sizes, such as `zoneout`.
        bidirectional: Whether each layer also reads backwards, so that a label may depend on what
            comes later.
        dropouts: Dropout probabilities.
        label_smoothing: Share of each target that is spread evenly over all classes.
        initialization: `recommended` or `torch` (torch's own), see `rnn_lab.nn.build_layer`.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Raises:
        UserError: If an argument has no meaning, or the data does not give a size.
    """

    batch_type = TaggingBatch
    monitor, mode = "val/accuracy", "max"

    def __init__(
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
        rates = as_options(Dropouts, dropouts)
        check_sizes(self, vocab_size=vocab_size, num_classes=num_classes, num_layers=num_layers)
        width = vocab_size if embedding_dim is None else embedding_dim
        check_sizes(self, embedding_dim=width, hidden_dim=hidden_dim)
        self.vocab_size = vocab_size
        self.num_classes = num_classes
        self.label_smoothing = label_smoothing
        self.blank: int | None = None
        self.embedding = (
            None if embedding_dim is None else nn.Embedding(vocab_size, width, padding_idx=PAD_ID)
        )
        self.recurrent = build_layer(
            layer,
            width,
            hidden_dim,
            num_layers,
            rates.layer,
            bidirectional,
            initialization=initialization,
            options=layer_kwargs,
        )
        self.dropout = nn.Dropout(rates.head)
        self.fc = nn.Linear(self.recurrent.output_size, num_classes)

    def logits(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Score the classes at every step.

        Args:
            x: Ids of tokens, `(batch, time)`; padding is never read.
            lengths: Steps in each sequence, `(batch,)`; None if every row is full.

        Returns:
            Unnormalized scores, `(batch, time, num_classes)`; on padding they mean nothing.
        """
        return self.fc(self.dropout(self._outputs(x, lengths)))

    def _outputs(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        if self.embedding is None:
            embedded = functional.one_hot(x, self.vocab_size).to(self.fc.weight)
        else:
            embedded = self.embedding(x)
        return self.recurrent(embedded, lengths)[0]

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Score the classes at every step, see `logits`."""
        return self.logits(x, lengths)

    def probabilities(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Say how likely each class is at every step, `(batch, time, num_classes)`."""
        return self.logits(x, lengths).float().softmax(2)

    def step(self, batch: TaggingBatch) -> StepOutput:
        """Score the real steps of a batch by cross-entropy, each step as one target."""
        output = self._outputs(batch.tokens, batch.lengths).flatten(0, 1)
        labels = batch.labels.flatten()
        if int(batch.lengths.min()) < batch.tokens.size(1):
            # Counted on the CPU, where the lengths are: a mask on a GPU would wait for it.
            real = lengths_to_mask(batch.lengths, batch.tokens.size(1)).flatten().nonzero()[:, 0]
            real = real.to(output.device, non_blocking=True)
            output, labels = output[real], labels[real]
        return cross_entropy_step(
            self.fc(self.dropout(output)), labels, label_smoothing=self.label_smoothing
        )

    def configure_metrics(self) -> dict[str, Metric | MetricCollection]:
        """Accuracy over all real steps, and over those whose label is not blank."""
        count = self.num_classes
        found: dict[str, Metric | MetricCollection] = {
            "accuracy": MulticlassAccuracy(count, average="micro")
        }
        if self.blank is not None:
            found["accuracy_nonblank"] = MulticlassAccuracy(
                count, average="micro", ignore_index=self.blank
            )
        return found

    def setup(self, stage: str) -> None:
        """Ask the data for its blank label, if it has one."""
        self.blank = getattr(getattr(self.trainer, "datamodule", None), "blank", None)
        super().setup(stage)

    def check_data(self, data: Any) -> None:
        """Refuse tokens and labels that the model does not know."""
        model, source = type(self).__name__, type(data).__name__
        size = getattr(data, "vocab_size", self.vocab_size)
        if size > self.vocab_size:
            raise UserError(f"{model} reads {self.vocab_size} tokens, {source} has {size}")
        count = getattr(data, "num_classes", self.num_classes)
        if count != self.num_classes:
            raise UserError(f"{model} tells {self.num_classes} classes, {source} has {count}")
