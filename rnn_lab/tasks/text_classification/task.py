"""The base class of all text classifiers."""

from abc import abstractmethod
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from rnn_lab.classification.items import items_of
from rnn_lab.classification.loss import (
    balanced_class_weights,
    cross_entropy_step,
    fixed_class_weights,
)
from rnn_lab.classification.metrics import class_metrics
from rnn_lab.classification.reports import ConfusionPlot, PredictionReport
from rnn_lab.core.task import StepOutput, Task, check_probabilities, check_sizes
from rnn_lab.errors import UserError
from rnn_lab.tasks.text_classification.batch import TextBatch
from rnn_lab.tasks.text_classification.options import TextLossConfig
from rnn_lab.training.items import ItemReport
from rnn_lab.training.reports import get_datamodule


class TextClassificationTask(Task):
    """Loss, metrics and reports of a text classifier.

    A subclass computes the score of each class.

    Args:
        num_classes: Number of classes.
        optimizer: See `Task`.
        scheduler: See `Task`.

    Attributes:
        loss: Options of the loss.
        alternative: Name of a model for more classes, suggested in an error message.

    Raises:
        UserError: If an argument is invalid, or the data does not provide a size.
    """

    batch_type = TextBatch
    predictor = "rnn_lab.tasks.text_classification.predictor.TextPredictor"
    monitor, mode = "val/accuracy", "max"

    loss: TextLossConfig = TextLossConfig()
    alternative: str = ""

    def __init__(
        self,
        num_classes: int,
        *,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        check_sizes(self, num_classes=num_classes)
        check_probabilities(label_smoothing=self.loss.label_smoothing)
        self.num_classes = num_classes
        self.class_weights: Tensor | None
        weights = fixed_class_weights(self.loss, num_classes)
        self.register_buffer("class_weights", weights, persistent=False)

    @property
    def num_outputs(self) -> int:
        """Outputs of the linear layer."""
        return self.num_classes

    @property
    def word_embedding(self) -> nn.Embedding | None:
        """Embedding that word vectors of the data are loaded into; None: the model has none."""
        return None

    @abstractmethod
    def logits(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute a score for each class.

        Args:
            x: Token ids, `(batch, time)`.
            lengths: Tokens in each text, `(batch,)`; None: all rows are full.

        Returns:
            Unnormalized scores, `(batch, num_classes)`.
        """

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute a score for each class, see `logits`."""
        return self.logits(x, lengths)

    def probabilities(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute the probability of each class, `(batch, num_classes)`."""
        logits = self.logits(x, lengths).float()
        return logits.sigmoid() if self.loss.multi_label else logits.softmax(1)

    def step(self, batch: TextBatch) -> StepOutput:
        """Compute the cross-entropy of a batch."""
        logits = self.logits(batch.tokens, batch.lengths)
        return cross_entropy_step(
            logits, batch.labels, self.class_weights, self.loss.label_smoothing
        )

    def items(self, output: StepOutput, batch: Any) -> dict[str, Any]:
        """Return true and predicted labels and probabilities of each row."""
        return items_of(
            output.predictions, output.targets, get_datamodule(self.trainer).label_names
        )

    def reports(self) -> list[Callback]:
        """Create the reports of a test: confusion matrix, most confident errors, all rows."""
        return [ConfusionPlot(), PredictionReport(), ItemReport()]

    def configure_metrics(self) -> dict[str, Metric | MetricCollection]:
        """Create accuracy, macro F1, AUROC for two classes, and the confusion matrix."""
        return class_metrics(self.num_classes, self.loss.multi_label)

    def setup(self, stage: str) -> None:
        """Load the word vectors and the class weights of the data, if requested."""
        super().setup(stage)
        data = getattr(self.trainer, "datamodule", None)
        if self.loss.class_weights == "balanced":
            self.class_weights = balanced_class_weights(data).to(self.device)
        read = getattr(data, "word_vectors", None) if stage == "fit" else None
        embedding = self.word_embedding
        word_vectors = read(embedding.embedding_dim) if read and embedding is not None else None
        if embedding is not None and word_vectors is not None:
            ids, vectors = word_vectors
            with torch.no_grad():
                embedding.weight[ids] = vectors.to(embedding.weight)

    def check_data(self, data: Any) -> None:
        """Raise a UserError if the labels of the data do not match the model."""
        model, source = type(self).__name__, type(data).__name__
        multi_label = getattr(data, "multi_label", self.loss.multi_label)
        if multi_label and not self.loss.multi_label:
            raise UserError(
                f"{model} predicts one label per text, {source} has several: "
                "use --model=TextClassifier --model.loss.multi_label=true"
            )
        if self.loss.multi_label and not multi_label:
            raise UserError(
                f"{source} has one label per text: remove --model.loss.multi_label, or set "
                "--data.columns.label_separator"
            )
        if self.word_embedding is None and getattr(data, "vectors", None):
            raise UserError(f"{model} has no word embeddings: remove --data.vectors")
        count = getattr(data, "num_classes", self.num_classes)
        if count != self.num_classes:
            hint = f": try --model={self.alternative}" if self.alternative else ""
            raise UserError(
                f"{model} predicts {self.num_classes} classes, {source} has {count}{hint}"
            )
