from pathlib import Path
from types import SimpleNamespace
from typing import Any

import handmade
import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.core.samplers import BucketBatchSampler
from rnn_lab.datamodules import SyntheticChirps, SyntheticReviews
from rnn_lab.errors import UserError
from rnn_lab.tasks.text_classification.batch import TextBatch


class Numbered:
    """Rows whose only token is their index."""

    def __init__(self, rows: int) -> None:
        self.lengths = np.random.default_rng(0).integers(1, 30, rows)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, rows: np.ndarray) -> TextBatch:
        return TextBatch(torch.tensor(rows)[:, None], torch.zeros(len(rows)), torch.ones(len(rows)))


class NumberedData(LabDataModule):
    batch_type = TextBatch
    sizes = {"train": 43, "valid": 17, "test": 10}  # noqa: RUF012

    def split(self, name: str) -> Numbered:
        return Numbered(self.sizes[name])

    @property
    def label_names(self) -> list[str]:
        return ["no", "yes"]


def rows_of(batches: Any) -> list[list[int]]:
    return [batch.tokens[:, 0].tolist() for batch in batches]


@pytest.fixture(autouse=True)
def _seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")


@pytest.mark.parametrize("name", ["valid", "test"])
def test_the_loader_follows_the_plan(name: str) -> None:
    data = NumberedData(batch_size=4)
    loader = data.val_dataloader() if name == "valid" else data.test_dataloader()
    assert rows_of(loader) == [rows.tolist() for rows in data.plan(name)]
    assert len(loader) == len(data.plan(name))


def test_an_epoch_has_every_training_row_once_in_an_order_of_seed_and_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def epoch(number: int) -> list[list[int]]:
        loader = NumberedData(batch_size=4).train_dataloader()
        loader.sampler.set_epoch(number)
        return rows_of(loader)

    first = epoch(0)
    assert sorted(row for rows in first for row in rows) == list(range(43))
    assert first == epoch(0) != epoch(1)
    monkeypatch.setenv("PL_GLOBAL_SEED", "4")
    assert first != epoch(0)


def test_test_rows_are_sharded_over_processes() -> None:
    rows = []
    for rank in range(3):
        data = NumberedData(batch_size=2)
        data.trainer = SimpleNamespace(global_rank=rank, world_size=3)  # type: ignore[assignment]
        rows += [row for batch in rows_of(data.test_dataloader()) for row in batch]
    assert sorted(rows) == list(range(10))


@pytest.mark.parametrize("served", [0, 1, 5, 10, 11])
def test_a_resumed_epoch_has_exactly_the_remaining_batches(served: int) -> None:
    first = NumberedData(batch_size=4)
    loader = first.train_dataloader()
    loader.sampler.set_epoch(2)
    epoch = rows_of(loader)
    batches = iter(loader)
    for _ in range(served):
        next(batches)

    second = NumberedData(batch_size=4)
    second.load_state_dict(first.state_dict())
    loader = second.train_dataloader()
    loader.sampler.set_epoch(2)
    assert rows_of(loader) == (epoch[served:] or epoch)  # after the last batch: the next epoch
    loader.sampler.set_epoch(3)
    assert len(rows_of(loader)) == len(epoch)


def test_the_state_has_the_position_also_after_a_resume() -> None:
    data = NumberedData(batch_size=4)
    data.load_state_dict({"num_batches_served": 5})
    assert data.state_dict() == {"num_batches_served": 5}
    loader = data.train_dataloader()
    # A resumed validation comes before the first batch, and its end saves a checkpoint.
    assert data.state_dict() == {"num_batches_served": 5}
    batches = iter(loader)
    assert data.state_dict() == {"num_batches_served": 5}
    next(batches)
    assert data.state_dict() == {"num_batches_served": 6}


class Recorder(LightningModule):
    """Record the rows of all training batches without learning."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.rows: list[list[int]] = []

    def training_step(self, batch: TextBatch, batch_idx: int) -> Tensor:
        self.rows += rows_of([batch])
        return self.weight * 1.0

    def validation_step(self, batch: TextBatch, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SaveAt(Callback):
    """Save a checkpoint after a step, as a checkpoint callback does."""

    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize(("step", "limit"), [(4, 11), (11, 11), (15, 11), (3, 5), (5, 5), (7, 5)])
def test_a_resumed_run_reads_the_remaining_batches_of_an_uninterrupted_one(
    tmp_path: Path, step: int, limit: int
) -> None:
    saving = SaveAt(step, tmp_path / "saved.ckpt")

    def run(checkpoint: Path | None = None) -> list[list[int]]:
        task = Recorder()
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=3,
            limit_train_batches=limit,
            callbacks=[saving],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(task, datamodule=NumberedData(batch_size=4), ckpt_path=checkpoint)
        return task.rows

    uninterrupted = run()
    assert len(uninterrupted) == 3 * limit
    assert run(saving.path) == uninterrupted[step:]


def test_the_sampler_of_a_loader_has_the_method_by_which_lightning_sets_the_epoch() -> None:
    loader = NumberedData().train_dataloader()
    assert isinstance(loader.sampler, BucketBatchSampler)
    assert hasattr(loader.sampler, "set_epoch")


def test_the_build_specification_rebuilds_the_module(tmp_path: Path) -> None:
    data = SyntheticReviews(train_size=50, valid_size=5, test_size=5, batch_size=7)
    spec = Checkpoint.open(handmade.write(tmp_path / "a.ckpt", data=data.build_spec())).data
    assert spec["class_path"] == "rnn_lab.SyntheticReviews"
    rebuilt = SyntheticReviews(**spec["init_args"])
    assert (rebuilt.sizes, rebuilt.batch_size) == (data.sizes, 7)
    assert spec["labels"] == data.label_names


def test_the_build_specification_has_labels_only_if_rows_have_labels() -> None:
    class Unlabeled(NumberedData):
        label_names = ()  # type: ignore[assignment]

    assert "labels" not in Unlabeled().build_spec()
    assert NumberedData().build_spec()["labels"] == ["no", "yes"]


def test_batch_tokens_limit_training_batches_only() -> None:
    class Counted(NumberedData):
        batch_tokens = 50

    data = Counted(batch_size=4)
    lengths = data.split("train").lengths
    sizes = [lengths[rows].sum() for rows in rows_of(data.train_dataloader())]
    assert sum(sizes) == lengths.sum()
    assert max(sizes) < 50 + lengths.max()
    assert len(data.plan("valid")) == 5


def test_a_checkpoint_without_data_has_no_data_specification(tmp_path: Path) -> None:
    path = handmade.write(tmp_path / "a.ckpt")
    with pytest.raises(UserError, match="was trained without a data module"):
        Checkpoint.open(path).data  # noqa: B018


def test_files_that_are_no_checkpoint_of_this_project_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    with pytest.raises(UserError, match="does not exist"):
        Checkpoint.open(path)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match="is not a checkpoint, or a damaged one"):
        Checkpoint.open(path)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(UserError, match="is a checkpoint of another project"):
        Checkpoint.open(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="is not a checkpoint, or a damaged one"):
        Checkpoint.open(path)


def test_a_batch_size_below_one_is_refused() -> None:
    with pytest.raises(UserError, match="batch_size must be at least 1, got 0"):
        NumberedData(batch_size=0)


def test_rows_are_numbered_from_one_in_reports(data):
    assert SyntheticChirps().describe_row("test", 4) == {"row": 5}
