"""What the CPU settings gain, and what is lost where they come late.

    OMP_NUM_THREADS=2 python tests/benchmarks/cpu_settings.py [--rounds 5]

An LSTM classifier of 128 units reads texts of 400 words, 16 at a time, in a plain script with a
Lightning Trainer. The ways take turns, each time in a process of its own, whose first steps are not
timed:

- `shipped`: no setting, by the environment variables that switch them off;
- `start`: `rnn_lab.configure_cpu()` is the first call, as on the command line;
- `hook`: the Task sets it in the first hook that the Trainer calls;
- `late`: the same, but a parallel operation has started the threads of PyTorch before.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from typing import Any

WAYS = ("shipped", "start", "hook", "late")
WORDS, TIME, BATCH, UNTIMED, TIMED = 5000, 400, 16, 3, 10


def measure(way: str) -> float:
    """Return the training steps per second of one way, in this process."""
    import torch

    import rnn_lab

    if way == "start":
        rnn_lab.configure_cpu()
    if way in ("late", "start"):
        torch.rand(1000, 1000).mul(2)
    from lightning.pytorch import Trainer
    from lightning.pytorch.callbacks import Callback
    from torch.utils.data import DataLoader

    from rnn_lab.tasks.text_classification.batch import TextBatch

    class Clock(Callback):
        def on_train_batch_start(self, trainer: Any, task: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx == UNTIMED:
                self.start = time.perf_counter()

        def on_train_end(self, trainer: Any, task: Any) -> None:
            self.seconds = time.perf_counter() - self.start

    generator = torch.Generator().manual_seed(0)
    lengths = torch.full((BATCH,), TIME)
    batches = [
        TextBatch(
            torch.randint(4, WORDS, (BATCH, TIME), generator=generator),
            torch.randint(2, (BATCH,), generator=generator),
            lengths,
        )
        for _ in range(UNTIMED + TIMED)
    ]
    clock = Clock()
    trainer = Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[clock],
    )  # fmt: skip
    torch.manual_seed(0)
    trainer.fit(rnn_lab.LSTMClassifier(WORDS, 100, 128), DataLoader(batches, batch_size=None))
    return TIMED / clock.seconds


def in_a_process(way: str) -> float:
    """Measure one way in a process of its own."""
    environment = dict(os.environ)
    if way == "shipped":
        environment |= {"RNN_LAB_KEEP_DENORMALS": "1", "RNN_LAB_RETURN_MEMORY": "1"}
    command = [sys.executable, __file__, "--way", way]
    run = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return float(run.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="times that each way takes its turn")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(measure(options.way))
        return
    ratios: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(options.rounds):
        speeds = {way: in_a_process(way) for way in WAYS}
        for way, speed in speeds.items():
            ratios[way].append(speed / speeds["start"])
        print(f"round {number + 1}:", {k: round(v, 2) for k, v in speeds.items()}, flush=True)
    for way, values in ratios.items():
        low, high = min(values), max(values)
        print(f"{way}: {statistics.median(values):.2f} of start ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
