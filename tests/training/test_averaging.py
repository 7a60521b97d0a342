"""Weight averaging starts when validation stops improving; averaged weights are saved."""

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, StochasticWeightAveraging
from torch.utils.data import DataLoader

from rnn_lab.errors import UserError
from rnn_lab.training import NTASGD, BestCheckpoint, SWACheckpoint

STEPS = 3  # per epoch


class Walker(LightningModule):
    """One weight that increases by one per step, with scripted validation losses."""

    monitor, mode = "val/loss", "min"

    def __init__(self, script, mode="min"):
        super().__init__()
        self.mode = mode
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.script, self.validated = list(script), []

    def training_step(self, batch, batch_idx):
        return -self.weight.sum()

    def validation_step(self, batch, batch_idx):
        if batch_idx == 0:
            self.validated.append(float(self.weight.detach()))
            self.log("val/loss", torch.tensor(self.script[self.current_epoch]), batch_size=1)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


class Alike(DataLoader):
    """Identical batches, so that the position after a resume does not matter."""

    def state_dict(self):
        return {}

    def load_state_dict(self, state_dict):
        pass


class SaveAt(Callback):
    """Save a checkpoint after a step; at the end of an epoch, after validation."""

    def __init__(self, step, path):
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step and self.step % STEPS:
            trainer.save_checkpoint(self.path)

    def on_train_epoch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


def walk(script, *, interval=2, mode="min", save=None, resume=None):
    task, averaging = Walker(script, mode), NTASGD(interval)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=len(script),
        callbacks=[averaging, *([SaveAt(*save)] if save else [])],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=1,
    )
    loader = Alike(range(STEPS))
    trainer.fit(task, loader, loader, ckpt_path=resume)
    return task, averaging


def test_nothing_is_averaged_while_validation_improves():
    task, averaging = walk([5.0, 4.0, 3.0, 4.0, 2.9])  # 4 is not worse than the best of 5 and 4
    assert not averaging.averaging
    assert task.validated[1:] == [3, 6, 9, 12, 15]  # the first is the sanity check
    assert task.weight == 15


def test_averaging_starts_when_a_value_is_worse_than_the_best_before_the_interval():
    # The fourth value is the first with a value before the interval: averaging from step 13 on.
    task, averaging = walk([5.0, 5.5, 5.6, 6.0, 7.0, 1.0])
    assert averaging.averaging
    assert task.validated[1:5] == [3, 6, 9, 12]
    assert task.validated[5:] == [14, 15.5]  # the means of 13 to 15 and of 13 to 18
    assert task.weight == 15.5


def test_with_mode_max_a_smaller_value_starts_averaging():
    assert walk([5.0, 6.0, 7.0, 6.9, 8.0], mode="max")[1].averaging is False
    assert walk([5.0, 4.0, 3.0, 2.0], mode="max")[1].averaging is True


@pytest.mark.parametrize("step", [4, 11, 12, 14])
def test_a_resumed_run_reaches_the_same_averages(tmp_path, step):
    script = [5.0, 5.5, 5.6, 6.0, 7.0]
    path = tmp_path / "a.ckpt"
    whole, _ = walk(script, save=(step, path))
    resumed, averaging = walk(script, resume=path)
    assert averaging.averaging
    assert torch.equal(resumed.weight, whole.weight)
    assert resumed.validated[-1] == whole.validated[-1]


def test_checkpoints_have_the_averaged_weights_only_after_averaging_started(tmp_path):
    script = [5.0, 5.5, 5.6, 6.0, 7.0]
    walk(script, save=(5, tmp_path / "plain.ckpt"))
    walk(script, save=(15, tmp_path / "averaged.ckpt"))
    plain, averaged = (
        torch.load(tmp_path / f"{name}.ckpt", weights_only=True) for name in ("plain", "averaged")
    )
    assert plain["state_dict"]["weight"] == 5
    assert "current_model_state" not in plain
    assert averaged["state_dict"]["weight"] == 14
    assert averaged["current_model_state"]["weight"] == 15


def test_an_interval_below_one_is_refused():
    with pytest.raises(UserError, match="interval must be at least 1, got 0"):
        NTASGD(0)


class Unvalidated(LightningModule):
    """One weight that increases by one per step."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, batch_idx):
        return -self.weight.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


class Normalizing(LightningModule):
    """A linear layer after batch normalization."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 1))

    def training_step(self, batch, batch_idx):
        return (self.layers(batch) - batch[:, :1]).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit_swa(folder, module, data, epochs, **limits):
    averaging = StochasticWeightAveraging(0.5, swa_epoch_start=2, device="cpu")
    trainer = Trainer(
        default_root_dir=folder, max_epochs=epochs, accelerator="cpu", logger=False,
        callbacks=[averaging, SWACheckpoint(), BestCheckpoint()], log_every_n_steps=1,
        enable_progress_bar=False, enable_model_summary=False, **limits,
    )  # fmt: skip
    trainer.fit(module, data)
    names = ("best", "last")
    saved = [torch.load(folder / f"checkpoints/{name}.ckpt")["state_dict"] for name in names]
    return averaging, *saved


@pytest.mark.parametrize("make", [Unvalidated, Normalizing])
def test_the_best_checkpoint_has_the_weights_that_swa_has_averaged(make, tmp_path):
    torch.manual_seed(0)
    module, data = make(), Alike(torch.randn(12, 2), batch_size=4)
    averaging, best, last = fit_swa(tmp_path, module, data, 4)
    torch.testing.assert_close(best, dict(module.state_dict()), rtol=0, atol=0)
    averages = dict(averaging._average_model.named_parameters())
    for name, value in averages.items():
        torch.testing.assert_close(best[name], value.detach(), rtol=0, atol=0)
    for name in best.keys() - averages.keys():  # statistics of the averaged weights
        assert not torch.equal(best[name], averaging._average_model.state_dict()[name])
    if make is Unvalidated:  # otherwise an epoch follows, which sets the statistics
        assert float(best["weight"]) < float(last["weight"])


def test_a_run_that_ends_before_swa_starts_keeps_its_best_checkpoint(tmp_path):
    module, data = Unvalidated(), Alike(torch.randn(12, 2), batch_size=4)
    _, best, last = fit_swa(tmp_path, module, data, 4, max_steps=STEPS)
    torch.testing.assert_close(best, last, rtol=0, atol=0)
