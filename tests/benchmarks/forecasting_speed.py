"""Training and data loading speed of a forecaster on a CPU, compared with the textbook's code.

    RNN_LAB_DATA=... python tests/benchmarks/forecasting_speed.py [--recipe independent]

ETTh1, 96 hours from 96, batches of 32 windows. `joint` is an LSTM of 2 x 128 units over all seven
channels without normalization of windows; `independent` has the defaults of `LSTMForecaster`, with
independent channels. The textbook's implementation cuts one window at a time and converts it to
tensors, a `DataLoader` shuffles and stacks them, and the textbook's model is trained with the
default clipping and Adam of PyTorch. It is measured with the defaults of PyTorch, with denormals
flushed, and after `rnn_lab.configure_cpu()`, which flushes denormals and retains freed memory. Ours
is a `Forecaster` on batches of `WindowBatchSampler` and `Windows`, with fused Adam. First both must
give the same loss for equal weights. Then the implementations take turns, each in a process of its
own; the first two steps are not timed.

Data loading alone is measured over epochs of unused batches: the textbook's, ours, and ours through
the `DataLoader` of the Trainer.

Wall-clock time and CPU time are reported: on a machine with other load only CPU times can be
compared, and only with one thread (`OMP_NUM_THREADS=1`).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import rnn_lab

PAST = HORIZON = 96
CHANNELS, BATCH, EPOCHS, UNTIMED = 7, 32, 10, 2
TRAINING = ("textbook", "textbook, denormals flushed", "textbook configured", "ours")
DATA = ("textbook", "ours", "ours in a DataLoader")
VARIABLES = ("RNN_LAB_KEEP_DENORMALS", "RNN_LAB_RETURN_MEMORY")


class Recipe(NamedTuple):
    """Options of a model."""

    hidden_dim: int
    num_layers: int
    independent: bool
    head_dropout: float


RECIPES = {
    "joint": Recipe(128, num_layers=2, independent=False, head_dropout=0.0),
    "independent": Recipe(64, num_layers=1, independent=True, head_dropout=0.5),
}


class TextbookWindows(Dataset[tuple[Tensor, Tensor]]):
    """Cut windows from a table on demand."""

    def __init__(self, table: np.ndarray) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table) - PAST - HORIZON + 1

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        x, y = self.table[i : i + PAST], self.table[i + PAST : i + PAST + HORIZON]
        return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)


class TextbookForecaster(nn.Module):
    """The textbook's forecaster; independent channels are standardized by window."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        width, layers = 1 if recipe.independent else CHANNELS, recipe.num_layers
        dropout = 0.2 if layers > 1 else 0.0
        self.independent = recipe.independent
        self.lstm = nn.LSTM(width, recipe.hidden_dim, layers, batch_first=True, dropout=dropout)
        self.dropout = nn.Dropout(recipe.head_dropout)
        self.fc = nn.Linear(recipe.hidden_dim, HORIZON * width)

    def forward(self, x: Tensor) -> Tensor:
        """Forecast `(batch, time, channels)`."""
        if not self.independent:
            return self._lstm(x).view(-1, HORIZON, CHANNELS)
        mean = x.mean(1, keepdim=True)
        std = (x.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        x = ((x - mean) / std).transpose(1, 2).reshape(-1, PAST, 1)
        output = self._lstm(x).view(-1, CHANNELS, HORIZON).transpose(1, 2)
        return output * std + mean

    def _lstm(self, x: Tensor) -> Tensor:
        lstm_out, _ = self.lstm(x)
        return self.fc(self.dropout(lstm_out[:, -1, :]))


def our_model(recipe: Recipe, textbook: nn.Module) -> Any:
    """Build our forecaster with the weights of the textbook's."""
    from rnn_lab.models import Forecaster
    from rnn_lab.tasks.forecasting.options import Dropouts, EncoderOptions

    normalization = "standard" if recipe.independent else "none"
    ours = Forecaster(
        CHANNELS,
        recipe.hidden_dim,
        recipe.num_layers,
        HORIZON * CHANNELS,
        horizon=HORIZON,
        encoder=EncoderOptions(normalization, channel_independent=recipe.independent),
        dropouts=Dropouts(head=recipe.head_dropout),
    )
    weights = textbook.state_dict()
    names = {"lstm.": "recurrent.", "fc.": "decoder.linear."}
    for theirs, mine in names.items():
        weights = {name.replace(theirs, mine): value for name, value in weights.items()}
    ours.load_state_dict(weights)
    return ours


def textbook_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    x, y = batch
    return nn.functional.mse_loss(model(x), y)


def our_loss(model: Any, batch: Any) -> Tensor:
    return model.step(batch).loss


def open_data() -> Any:
    from rnn_lab.datamodules import ETTh1

    data = ETTh1(PAST, HORIZON, BATCH)
    data.prepare_data()
    data.setup("fit")
    return data


def our_batches(data: Any, number: int) -> Iterable[Any]:
    """Generate the batches of an epoch."""
    from rnn_lab.tasks.forecasting.windows import WindowBatchSampler

    windows = data.split("train")
    order = WindowBatchSampler(len(windows), BATCH, shuffle=True, seed=number)
    return (windows[rows] for rows in order)


def textbook_batches(table: np.ndarray, number: int) -> Iterable[Any]:
    """Generate the batches of an epoch."""
    generator = torch.Generator().manual_seed(number)
    return DataLoader(TextbookWindows(table), BATCH, shuffle=True, generator=generator)


def compare_losses(recipe: Recipe, table: np.ndarray) -> None:
    """Check on shared batches that both models give the same loss without dropout."""
    textbook = TextbookForecaster(recipe).eval()
    ours, windows = our_model(recipe, textbook).eval(), TextbookWindows(table)
    with torch.no_grad():
        for batch in islice(our_batches(open_data(), 0), 4):
            samples = [windows[row] for row in batch.rows.tolist()]
            x, y = (torch.stack(part) for part in zip(*samples, strict=True))
            torch.testing.assert_close(our_loss(ours, batch), textbook_loss(textbook, (x, y)))


def timed(work: Callable[[], int]) -> list[float]:
    """Do some work and return its amount per second of wall-clock and of CPU time."""
    clocks = (time.perf_counter, time.process_time)
    starts = [clock() for clock in clocks]
    count = work()
    return [count / (clock() - start) for clock, start in zip(clocks, starts, strict=True)]


def train(way: str, recipe: Recipe, table: np.ndarray, number: int, steps: int) -> list[float]:
    """Train for the steps of one round; return windows per second."""
    torch.manual_seed(0)
    model: nn.Module = TextbookForecaster(recipe)
    batches, loss = textbook_batches(table, number), textbook_loss
    if way == "ours":
        model = our_model(recipe, model)
        batches, loss = our_batches(open_data(), number), our_loss
    step = make_step(model.train(), loss, fused=True if way == "ours" else None)
    iterator = iter(batches)
    for batch in islice(iterator, UNTIMED):
        step(batch)

    def work() -> int:
        for batch in islice(iterator, steps):
            step(batch)
        return steps * BATCH

    return timed(work)


def make_step(
    model: nn.Module, loss: Callable[..., Tensor], fused: bool | None
) -> Callable[[Any], None]:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=fused)

    def step(batch: Any) -> None:
        optimizer.zero_grad()
        loss(model, batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def read(way: str, table: np.ndarray, number: int) -> list[float]:
    """Load the batches of some epochs; return batches per second."""
    data = None if way.startswith("textbook") else open_data()
    loader = data.train_dataloader() if data and way.endswith("DataLoader") else None

    def epoch(number: int) -> int:
        if loader:
            return sum(1 for _ in loader)
        batches = our_batches(data, number) if data else textbook_batches(table, number)
        return sum(1 for _ in batches)

    epoch(number)
    return timed(lambda: sum(epoch(number + i) for i in range(EPOCHS)))


def do(options: argparse.Namespace) -> None:
    """Run one measurement in a process of its own."""
    table, recipe = np.load(options.table), RECIPES[options.recipe]
    if options.way == "textbook, denormals flushed":
        torch.set_flush_denormal(True)
    elif options.way != "textbook":
        rnn_lab.configure_cpu()
    if options.do == "losses":
        return compare_losses(recipe, table)
    if options.do == "train":
        speeds = train(options.way, recipe, table, options.number, options.steps)
    else:
        speeds = read(options.way, table, options.number)
    print(json.dumps(speeds))


def run_process(what: str, way: str, options: argparse.Namespace, number: int = 0) -> str:
    command = [sys.executable, __file__, "--do", what, "--way", way, "--number", str(number)]
    command += ["--recipe", options.recipe, "--steps", str(options.steps)]
    environment = {k: v for k, v in os.environ.items() if k not in VARIABLES}
    return subprocess.run(
        [*command, "--table", options.table],
        env=environment, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip


def take_turns(what: str, ways: Iterable[str], unit: str, options: argparse.Namespace) -> None:
    """Measure the implementations in turn and print their median speeds."""
    speeds: dict[str, list[list[float]]] = {way: [] for way in ways}
    for number in range(options.rounds):
        for way, found in speeds.items():
            found.append(json.loads(run_process(what, way, options, number)))
            print(f"round {number + 1}, {way}: {found[-1][0]:,.0f} {unit}/s", flush=True)
    print(f"\n| implementation | {unit}/s | relative | {unit}/s of CPU time, range | relative |")
    print("| - | - | - | - | - |")
    first: list[float] = []
    for way, found in speeds.items():
        clock, cpu = (list(column) for column in zip(*found, strict=True))
        medians = [statistics.median(clock), statistics.median(cpu)]
        first = first or medians
        over = [median / base for median, base in zip(medians, first, strict=True)]
        spread = f"{medians[1]:,.0f} ({min(cpu):,.0f} to {max(cpu):,.0f})"
        print(f"| {way} | {medians[0]:,.0f} | {over[0]:.2f}x | {spread} | {over[1]:.2f}x |")
    print(flush=True)


def report(options: argparse.Namespace) -> None:
    """Compare losses and speeds."""
    with tempfile.TemporaryDirectory(prefix="rnn-lab-") as folder:
        options.table = str(Path(folder) / "table.npy")
        windows = open_data().split("train")
        rows = len(windows) + PAST + HORIZON - 1
        np.save(options.table, windows.values[:rows].numpy())
        run_process("losses", "ours", options)
        print("equal loss on shared batches: yes", flush=True)
        print(f"{torch.get_num_threads()} threads, {options.recipe}, {RECIPES[options.recipe]}")
        take_turns("train", TRAINING, "windows", options)
        take_turns("read", DATA, "batches", options)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recipe", choices=RECIPES, default="joint")
    parser.add_argument("--steps", type=int, default=40, help="timed steps per round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of measurements")
    parser.add_argument("--do", choices=("losses", "train", "read"), help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=(*TRAINING, *DATA), help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--table", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.do:
        do(options)
    else:
        report(options)


if __name__ == "__main__":
    main()
