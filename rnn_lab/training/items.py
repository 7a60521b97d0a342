"""Report of a test by row: targets, predictions and errors, in the order of the split."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.core.task import Task
from rnn_lab.errors import UserError
from rnn_lab.io.run_files import ITEMS
from rnn_lab.training.reports import (
    gather_from_all_ranks,
    get_datamodule,
    is_dry_run,
    report_path,
    should_write,
)

if TYPE_CHECKING:  # pyarrow is imported only where rows are written
    import pyarrow as pa

    from rnn_lab.io.row_table import RowTable

log = logging.getLogger(__name__)


class ItemReport(Callback):
    """Write what `Task.items` returns for each row of a test to `predictions.test.parquet`.

    The column `row` is the number of a row, see `LabDataModule.row_numbers`. Rows are in the order
    of the split, from several processes, too; memory does not depend on their number. Nothing is
    written for a task that returns no items, or for data that is not a `LabDataModule`.
    """

    def __init__(self) -> None:
        self._table: RowTable | None = None
        self._plan: list[np.ndarray] = []  # rows of each batch, in the order of the loader

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove parts that an interrupted test has left."""
        data = get_datamodule(trainer)
        self._table = None
        if is_dry_run(trainer) or not _has_items(pl_module) or not isinstance(data, LabDataModule):
            return
        from rnn_lab.io.row_table import RowTable

        self._plan = data.plan("test")
        self._table = RowTable(report_path(trainer, ITEMS), trainer.global_rank)
        if should_write(trainer):
            self._table.clear()
        trainer.strategy.barrier()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add the rows of a batch."""
        if self._table is None:
            return
        rows = self._plan[batch_idx]
        numbers = get_datamodule(trainer).row_numbers("test", rows)
        columns = {"row": numbers, **pl_module.items(outputs, batch)}
        try:
            self._table.add(rows, {name: _array(values) for name, values in columns.items()})
        except OSError as error:
            raise _unwritable(self._table, error) from error

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Merge the rows of all processes."""
        if self._table is None:
            return
        try:
            self._table.flush()
            added = sum(gather_from_all_ranks(trainer, [self._table.rows]))
            merged = self._table.merge() if should_write(trainer) else added
        except OSError as error:
            raise _unwritable(self._table, error) from error
        if merged < added:  # other nodes have written to folders of their own
            log.warning(
                "%s has %s of %s rows: the run folder is not shared by all nodes",
                *(self._table.path, f"{merged:,}", f"{added:,}"),
            )


def _has_items(module: LightningModule) -> bool:
    return isinstance(module, Task) and type(module).items is not Task.items


def _array(values: Tensor | np.ndarray | Sequence[Any]) -> "pa.Array":
    """Convert a column; a row of several numbers becomes a list."""
    import pyarrow as pa

    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    if isinstance(values, np.ndarray) and values.ndim == 2:
        flat = pa.array(np.ascontiguousarray(values).ravel())
        return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    return pa.array(values)


def _unwritable(table: "RowTable", error: OSError) -> UserError:
    return UserError(f"{table.path} cannot be written: {error.strerror or error}")
