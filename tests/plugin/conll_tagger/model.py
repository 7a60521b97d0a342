"""A bidirectional LSTM tagger, and its report of errors."""

import csv
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from conll_tagger.data import TagBatch
from rnn_lab import StepOutput, Task
from rnn_lab.nn import build_layer
from rnn_lab.training.reports import report_path, should_write


class TagErrors(Callback):
    """Count wrong predictions by true and predicted tag, in `tag_errors.csv`."""

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.counts: dict[tuple[int, int], int] = {}

    def on_test_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, *_: Any) -> None:
        predicted = outputs.predictions.argmax(1)
        wrong = (predicted != outputs.targets) & (outputs.targets >= 0)
        pairs = zip(outputs.targets[wrong].tolist(), predicted[wrong].tolist(), strict=True)
        for pair in pairs:
            self.counts[pair] = self.counts.get(pair, 0) + 1

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if should_write(trainer):
            names = trainer.datamodule.label_names  # type: ignore[attr-defined]
            with open(report_path(trainer, "tag_errors.csv"), "w", newline="") as file:
                rows = csv.writer(file)
                rows.writerow(["tag", "predicted", "count"])
                rows.writerows([names[a], names[b], n] for (a, b), n in self.counts.items())


class WordTagger(Task):
    """Tag each word with a bidirectional recurrent layer."""

    batch_type = TagBatch
    predictor = "conll_tagger.predictor.TagPredictor"
    monitor, mode = "val/accuracy", "max"

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        embedding_dim: int = 16,
        hidden_dim: int = 16,
        layer: str = "LSTM",
        *,
        optimizer: OptimizerCallable | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer)
        self.num_classes = num_classes
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=0)
        self.recurrent = build_layer(layer, embedding_dim, hidden_dim, bidirectional=True)
        self.head = nn.Linear(self.recurrent.output_size, num_classes)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Compute the logits of each word, `(batch, time, num_classes)`."""
        output, _ = self.recurrent(self.embedding(tokens), lengths)
        return self.head(output)

    def step(self, batch: TagBatch) -> StepOutput:
        """Compute the mean cross-entropy over all real words."""
        logits = self(batch.tokens, batch.lengths).flatten(0, 1)
        targets = batch.tags.flatten()
        loss = nn.functional.cross_entropy(logits, targets, ignore_index=-100)
        return StepOutput(loss, logits.detach().softmax(1), targets, int(batch.lengths.sum()))

    def configure_metrics(self) -> dict[str, Metric]:
        """Return the accuracy over all real words."""
        options = {"average": "micro", "ignore_index": -100}
        return {"accuracy": MulticlassAccuracy(self.num_classes, **options)}

    def reports(self) -> list[Callback]:
        """Return the report of errors."""
        return [TagErrors()]

    @torch.inference_mode()
    def tags(self, tokens: Tensor, lengths: Tensor) -> list[list[int]]:
        """Return the most likely tag of each word of each sentence."""
        best = self(tokens.to(self.device), lengths).argmax(2).tolist()
        return [row[:length] for row, length in zip(best, lengths.tolist(), strict=True)]
