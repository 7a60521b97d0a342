"""A plain LightningModule and a plain LightningDataModule, which do not import rnn_lab."""

import os
import signal

import torch
from lightning import LightningDataModule, LightningModule
from torch.utils.data import DataLoader, TensorDataset


class Plain(LightningModule):
    """One linear layer; the process sends itself a signal at the step SIGNAL_AT_STEP, if set."""

    def __init__(self, width: int = 4, rate: float = 0.1, activation: type = torch.nn.Tanh):
        super().__init__()
        self.save_hyperparameters()  # one of them is a class
        self.layer = torch.nn.Sequential(torch.nn.Linear(width, width), activation())

    def training_step(self, batch, batch_idx):
        (x,) = batch
        if self.global_step == int(os.environ.get("SIGNAL_AT_STEP", "-1")):
            os.kill(os.getpid(), signal.SIGTERM)
        return (self.layer(x) - x).square().mean()

    def validation_step(self, batch, batch_idx):
        (x,) = batch
        self.log("val_loss", (self.layer(x) - x).square().mean())

    def test_step(self, batch, batch_idx):
        (x,) = batch
        self.log("test_loss", (self.layer(x) - x).square().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.hparams.rate)


class PlainData(LightningDataModule):
    """Random rows."""

    def __init__(self, rows: int = 64, width: int = 4):
        super().__init__()
        self.rows = TensorDataset(torch.randn(rows, width, generator=torch.Generator()))

    def train_dataloader(self):
        return DataLoader(self.rows, 8, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.rows, 8)

    test_dataloader = val_dataloader
