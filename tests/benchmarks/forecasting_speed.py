"""Training speed of a forecaster on a CPU: the textbook's way against ours, and the data alone.

    RNN_LAB_DATA=... python tests/benchmarks/forecasting_speed.py [--recipe apart]

ETTh1, 96 hours from 96, batches of 32 windows. `joint` is an LSTM of 2 x 128 over all seven
channels, nothing scaled by window; `apart` is the default of `LSTMForecaster`, each channel by
itself. The textbook's way cuts out one window at a time and makes tensors of it, a `DataLoader`
shuffles and stacks them, the chapter's model reads them, and clipping and Adam are as torch ships.
It runs as PyTorch ships, with denormals flushed, and after `rnn_lab.configure_cpu()`, which
flushes them and keeps freed memory, too. Ours is `LSTMForecaster` on batches of
`WindowBatchSampler` and `Windows`, with fused Adam. First both must give the same loss for the same
weights. Then the ways take turns, each time in a process of its own; its first two steps are not
timed.

The data alone: epochs of batches that nobody reads, the textbook's, ours, and ours through the
`DataLoader` that the Trainer is given.

Both the clock and the seconds of the processor are told: on a machine that does other work only
these can be compared, and only with one thread (`OMP_NUM_THREADS=1`).
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
TRAINING = ("textbook as shipped", "textbook flushed", "textbook configured", "ours")
DATA = ("textbook as shipped", "ours", "ours in a DataLoader")
CHANGES = ("RNN_LAB_KEEP_DENORMALS", "RNN_LAB_RETURN_MEMORY")


class Recipe(NamedTuple):
    """A model."""

    hidden_dim: int
    num_layers: int
    apart: bool
    head_dropout: float


RECIPES = {
    "joint": Recipe(128, num_layers=2, apart=False, head_dropout=0.0),
    "apart": Recipe(64, num_layers=1, apart=True, head_dropout=0.5),
}


class TextbookWindows(Dataset[tuple[Tensor, Tensor]]):
    """Cuts a window out of a table when it is asked for."""

    def __init__(self, table: np.ndarray) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table) - PAST - HORIZON + 1

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        x, y = self.table[i : i + PAST], self.table[i + PAST : i + PAST + HORIZON]
        return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)


class TextbookForecaster(nn.Module):
    """The chapter's forecaster; with channels apart each window is scaled, and back."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        width, layers = 1 if recipe.apart else CHANNELS, recipe.num_layers
        dropout = 0.2 if layers > 1 else 0.0
        self.apart = recipe.apart
        self.lstm = nn.LSTM(width, recipe.hidden_dim, layers, batch_first=True, dropout=dropout)
        self.dropout = nn.Dropout(recipe.head_dropout)
        self.fc = nn.Linear(recipe.hidden_dim, HORIZON * width)

    def forward(self, x: Tensor) -> Tensor:
        """Forecast `(batch, time, channels)`."""
        if not self.apart:
            return self._read(x).view(-1, HORIZON, CHANNELS)
        mean = x.mean(1, keepdim=True)
        deviation = (x.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        x = ((x - mean) / deviation).transpose(1, 2).reshape(-1, PAST, 1)
        found = self._read(x).view(-1, CHANNELS, HORIZON).transpose(1, 2)
        return found * deviation + mean

    def _read(self, x: Tensor) -> Tensor:
        lstm_out, _ = self.lstm(x)
        return self.fc(self.dropout(lstm_out[:, -1, :]))


def our_model(recipe: Recipe, textbook: nn.Module) -> Any:
    """Build our forecaster with the weights of the textbook's."""
    from rnn_lab.models import Forecaster
    from rnn_lab.tasks.forecasting.options import Dropouts, EncoderOptions

    normalization = "standard" if recipe.apart else "none"
    ours = Forecaster(
        CHANNELS,
        recipe.hidden_dim,
        recipe.num_layers,
        HORIZON * CHANNELS,
        horizon=HORIZON,
        encoder=EncoderOptions(normalization, channel_independent=recipe.apart),
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
    """Give the batches of an epoch on demand."""
    from rnn_lab.tasks.forecasting.windows import WindowBatchSampler

    windows = data.split("train")
    order = WindowBatchSampler(len(windows), BATCH, shuffle=True, seed=number)
    return (windows[rows] for rows in order)


def textbook_batches(table: np.ndarray, number: int) -> Iterable[Any]:
    """Give the batches of an epoch on demand."""
    drawn = torch.Generator().manual_seed(number)
    return DataLoader(TextbookWindows(table), BATCH, shuffle=True, generator=drawn)


def compare_losses(recipe: Recipe, table: np.ndarray) -> None:
    """Check on common batches that both models, without dropout, compute the same loss."""
    textbook = TextbookForecaster(recipe).eval()
    ours, windows = our_model(recipe, textbook).eval(), TextbookWindows(table)
    with torch.no_grad():
        for batch in islice(our_batches(open_data(), 0), 4):
            cut = [windows[row] for row in batch.rows.tolist()]
            x, y = (torch.stack(part) for part in zip(*cut, strict=True))
            torch.testing.assert_close(our_loss(ours, batch), textbook_loss(textbook, (x, y)))


def timed(work: Callable[[], int]) -> list[float]:
    """Do some work; how much of it a second, and a second of the processor."""
    clocks = (time.perf_counter, time.process_time)
    starts = [clock() for clock in clocks]
    count = work()
    return [count / (clock() - start) for clock, start in zip(clocks, starts, strict=True)]


def train(way: str, recipe: Recipe, table: np.ndarray, number: int, steps: int) -> list[float]:
    """Train for the steps of one round: windows a second."""
    torch.manual_seed(0)
    model: nn.Module = TextbookForecaster(recipe)
    batches, loss = textbook_batches(table, number), textbook_loss
    if way == "ours":
        model = our_model(recipe, model)
        batches, loss = our_batches(open_data(), number), our_loss
    step = make_step(model.train(), loss, fused=True if way == "ours" else None)
    waiting = iter(batches)
    for batch in islice(waiting, UNTIMED):
        step(batch)

    def work() -> int:
        for batch in islice(waiting, steps):
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
    """Make the batches of some epochs: batches a second."""
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
    """What a process of its own does."""
    table, recipe = np.load(options.table), RECIPES[options.recipe]
    if options.way == "textbook flushed":
        torch.set_flush_denormal(True)
    elif options.way != "textbook as shipped":
        rnn_lab.configure_cpu()
    if options.do == "losses":
        return compare_losses(recipe, table)
    if options.do == "train":
        found = train(options.way, recipe, table, options.number, options.steps)
    else:
        found = read(options.way, table, options.number)
    print(json.dumps(found))


def in_a_process(what: str, way: str, options: argparse.Namespace, number: int = 0) -> str:
    command = [sys.executable, __file__, "--do", what, "--way", way, "--number", str(number)]
    command += ["--recipe", options.recipe, "--steps", str(options.steps)]
    environment = {k: v for k, v in os.environ.items() if k not in CHANGES}
    return subprocess.run(
        [*command, "--table", options.table],
        env=environment, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip


def take_turns(what: str, ways: Iterable[str], unit: str, options: argparse.Namespace) -> None:
    """Let the ways take turns and print the medians of their speeds."""
    speeds: dict[str, list[list[float]]] = {way: [] for way in ways}
    for number in range(options.rounds):
        for way, found in speeds.items():
            found.append(json.loads(in_a_process(what, way, options, number)))
            print(f"round {number + 1}, {way}: {found[-1][0]:,.0f} {unit}/s", flush=True)
    print(f"\n| way | {unit}/s | over the first | {unit}/s of processor, range | over the first |")
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
    """Compare losses, then speeds."""
    with tempfile.TemporaryDirectory(prefix="rnn-lab-") as folder:
        options.table = str(Path(folder) / "table.npy")
        windows = open_data().split("train")
        rows = len(windows) + PAST + HORIZON - 1
        np.save(options.table, windows.values[:rows].numpy())
        in_a_process("losses", "ours", options)
        print("equal loss on common batches: yes", flush=True)
        print(f"{torch.get_num_threads()} threads, {options.recipe}, {RECIPES[options.recipe]}")
        take_turns("train", TRAINING, "windows", options)
        take_turns("read", DATA, "batches", options)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recipe", choices=RECIPES, default="joint")
    parser.add_argument("--steps", type=int, default=40, help="timed steps of a round")
    parser.add_argument("--rounds", type=int, default=5, help="times that each way takes its turn")
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
