"""The cost of training, with machine, data and versions: `cost.json` in the run folder."""

import json
import platform
import sys
import time
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

import rnn_lab
from rnn_lab.core.cpu import processor
from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.io.atomic import atomic_path
from rnn_lab.io.run_files import COST
from rnn_lab.nn.native.library import kernel_version
from rnn_lab.training.reports import get_datamodule, report_path, should_write


class CostRecord(Callback):
    """Write the cost of training to `cost.json` when it ends, however it ends.

    `seconds` and `processor_seconds` (of all threads of the main process) are those of the training
    steps and validations that led to the present weights: a resumed run continues from the sums of
    its checkpoint, and steps that were lost do not count. `peak_memory` in bytes is that of the
    GPU, or of the whole process on a CPU. `data` has the version of the data and the
    number of training rows, `environment` the versions and the hardware.
    """

    def __init__(self) -> None:
        self._before = (0.0, 0.0)  # seconds and processor seconds before this process
        self._started: tuple[float, float] | None = None  # clocks at the start; None if not running
        self._trained = False  # whether this process has taken a step

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clocks."""
        self._started = _clocks()
        self._trained = False

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Remember that a step is taken: a complete run that is resumed costs nothing."""
        self._trained = True

    def state_dict(self) -> dict[str, float]:
        """Return the sums."""
        seconds, processor_seconds = self._sums()
        return {"seconds": seconds, "processor_seconds": processor_seconds}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Continue from the sums of a checkpoint."""
        self._before = (state_dict["seconds"], state_dict["processor_seconds"])

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file."""
        self._write(trainer, pl_module)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Write the file also if training is interrupted."""
        self._write(trainer, pl_module)

    def _sums(self) -> tuple[float, float]:
        if self._started is None or not self._trained:
            return self._before
        now = _clocks()
        sums = (b + n - s for b, n, s in zip(self._before, now, self._started, strict=True))
        seconds, processor_seconds = sums
        return seconds, processor_seconds

    def _write(self, trainer: Trainer, module: LightningModule) -> None:
        if self._started is None:  # a test alone
            return
        self._before, self._started = self._sums(), None
        if not self._trained or not should_write(trainer):
            return
        content = {
            **{name: round(value, 3) for name, value in self.state_dict().items()},
            "steps": trainer.global_step,
            "parameters": sum(p.numel() for p in module.parameters()),
            "trainable_parameters": sum(p.numel() for p in module.parameters() if p.requires_grad),
            "peak_memory": _peak_memory(module.device),
            "data": _data(get_datamodule(trainer)),
            "environment": {
                **environment(module.device),
                "threads": torch.get_num_threads(),
                "processes": trainer.world_size,
                "precision": str(trainer.precision),
                "kernels": kernel_version(),
            },
        }
        # A cost that cannot be written must not hide why training ended.
        with suppress(OSError), atomic_path(report_path(trainer, COST)) as part:
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _clocks() -> tuple[float, float]:
    return time.monotonic(), time.process_time()


def _peak_memory(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _data(data: Any) -> dict[str, Any]:
    if not isinstance(data, LabDataModule):
        return {}
    return {"version": data.data_version(), "train_rows": len(data.split("train"))}


def environment(device: torch.device) -> dict[str, Any]:
    """Describe versions and hardware."""
    return {
        "rnn_lab": rnn_lab.__version__,
        "torch": torch.__version__,
        "lightning": version("lightning"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }
