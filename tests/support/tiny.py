"""A minimal task and data: one linear layer, eight examples."""

import math
from typing import NamedTuple

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor
from torchmetrics import ConfusionMatrix, MetricCollection


class StepOutput(NamedTuple):
    loss: Tensor
    predictions: Tensor
    targets: Tensor
    num_targets: int


class TinyTask(LightningModule):
    """Log as a Task does, with optional scripted `val_losses` and a NaN loss at step `nan_at`."""

    monitor, mode = "val/loss", "min"
    nan_ranks = (0, 1)

    def __init__(self, val_losses=(), nan_at=None, classes=2):
        super().__init__()
        self.layer = torch.nn.Linear(4, classes)
        matrix = MetricCollection({"confusion": ConfusionMatrix("multiclass", num_classes=classes)})
        self.metrics = torch.nn.ModuleDict({"test": matrix})
        self.val_losses, self.nan_at = val_losses, nan_at

    def step(self, batch):
        x, y = batch
        logits = self.layer(x)
        return StepOutput(
            torch.nn.functional.cross_entropy(logits, y), logits.softmax(1), y, len(y)
        )

    def training_step(self, batch, batch_idx):
        loss = self.step(batch).loss
        if self.global_step == self.nan_at and self.global_rank in self.nan_ranks:
            loss = loss * math.nan
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        scripted = self.val_losses[self.current_epoch : self.current_epoch + 1]
        self.log(
            "val/loss",
            scripted[0] if scripted else self.step(batch).loss,
            batch_size=4,
            sync_dist=True,
        )

    def test_step(self, batch, batch_idx):
        output = self.step(batch)
        self.metrics["test"].update(output.predictions, output.targets)
        self.log("test/loss", output.loss, batch_size=4, sync_dist=True)
        return output

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class TinySplit:
    def __init__(self, texts):
        self.texts = texts

    def __len__(self):
        return len(self.texts)


class Batches:
    """A loader without workers; Lightning would treat a plain list as several loaders."""

    def __init__(self, batches):
        self.batches = list(batches)

    def __iter__(self):
        return iter(self.batches)

    def __len__(self):
        return len(self.batches)


class TinyData(LightningDataModule):
    """Eight examples in two batches of four; the test loader has them in reverse order."""

    label_names = ("bad", "good")

    def __init__(self, texts=True):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(8, 4, generator=generator)
        self.y = (self.x[:, 0] > 0).long()
        self.test_split = TinySplit([f"text {i}" for i in range(8)]) if texts else self.x

    def split(self, name):
        assert name == "test"
        return self.test_split

    def describe_row(self, name, row):
        assert name == "test"
        named = isinstance(self.test_split, TinySplit)
        return {"row": row + 1, **({"text": self.test_split.texts[row]} if named else {})}

    def plan(self, split):
        return torch.arange(7, -1, -1).split(4)

    def train_dataloader(self):
        return Batches(zip(self.x.split(4), self.y.split(4), strict=True))

    val_dataloader = train_dataloader

    def test_dataloader(self):
        return Batches((self.x[i], self.y[i]) for i in self.plan("test"))
