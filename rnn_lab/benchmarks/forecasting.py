"""Training of forecasters: the textbook's windows and loop, a bare loop, and the Trainer."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from rnn_lab.benchmarks.comparison import Comparison, Implementation
from rnn_lab.benchmarks.machine import threads_title
from rnn_lab.benchmarks.settings import Settings
from rnn_lab.benchmarks.timing import training_flops
from rnn_lab.benchmarks.training import Fit, Loop, Workload, first_batches, in_data_root, ways
from rnn_lab.datamodules import ETTh1, SyntheticSeries
from rnn_lab.models import Forecaster
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.options import Dropouts, EncoderOptions

LAYERS = {"LSTM": nn.LSTM, "GRU": nn.GRU}
PAST = HORIZON = 96
CHANNELS, BATCH, CHECKED = 7, 32, 2
SIZES = {"hidden_dim": 128, "num_layers": 2, "steps": 40}
QUICK_STEPS = 8


def comparisons(settings: Settings) -> Iterator[Comparison]:
    """Yield a comparison for generated series, and for ETTh1 if it is in the data root."""
    names = ["SyntheticSeries"]
    if not settings.quick and in_data_root("ett"):
        names.append("ETTh1")
    for name in names:
        for threads in settings.threads:
            yield _comparison(settings, name, threads)


def _comparison(settings: Settings, name: str, threads: int) -> Comparison:
    groups = [ways(layer, f"textbook {layer}", settings) for layer in LAYERS]
    sizes = SIZES | ({"steps": QUICK_STEPS} if settings.quick else {})
    return Comparison(
        "forecasting",
        f"{name}, {PAST} to {HORIZON} steps, {sizes['num_layers']} x {sizes['hidden_dim']}, "
        f"batches of {BATCH}, {threads_title(threads)}",
        {
            **{"data": name, **sizes, **settings.computation()},
            "products": [(BATCH, sizes["hidden_dim"], 4 * sizes["hidden_dim"])],
        },
        [variant for group in groups for variant in group],
        ["textbook LSTM, as shipped", "textbook LSTM", "LSTM"],
        [[each.name for each in group] for group in groups],
        "windows",
        threads,
        settings.tolerance,
    )


def build(options: dict[str, Any], names: Sequence[str]) -> dict[str, Implementation]:
    """Build forecasters by name: `reference LAYER`, `loop LAYER` and `LAYER`, by the Trainer."""
    data = open_series(options["data"])
    return {name: _implementation(name, data, options) for name in names}


def open_series(name: str) -> Any:
    """Prepare a data module with windows of `PAST` steps in batches.

    Args:
        name: `SyntheticSeries` or `ETTh1`.
    """
    data: Any
    if name == "ETTh1":
        data = ETTh1(PAST, HORIZON, BATCH)
    else:
        data = SyntheticSeries(
            channels=CHANNELS, input_length=PAST, horizon=HORIZON, batch_size=BATCH
        )
    data.prepare_data()
    data.setup("fit")
    return data


class TextbookWindows(Dataset[tuple[Tensor, Tensor]]):
    """Cut windows from a table one by one and convert them to tensors, as the textbook does.

    Args:
        data: Data module whose scaled training rows are the table.
    """

    def __init__(self, data: Any) -> None:
        windows = data.split("train")
        rows = len(windows) + PAST + HORIZON - 1
        self.table = windows.values[:rows].numpy()

    def __len__(self) -> int:
        return len(self.table) - PAST - HORIZON + 1

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        past, future = self.table[i : i + PAST], self.table[i + PAST : i + PAST + HORIZON]
        return torch.tensor(past, dtype=torch.float32), torch.tensor(future, dtype=torch.float32)


class TextbookForecaster(nn.Module):
    """The textbook's forecaster over all channels: the last output, a linear layer.

    Args:
        layer: `LSTM` or `GRU`.
        options: `hidden_dim` and `num_layers`.
    """

    def __init__(self, layer: str, options: dict[str, Any]) -> None:
        super().__init__()
        hidden, layers = options["hidden_dim"], options["num_layers"]
        dropout = 0.2 if layers > 1 else 0.0
        self.recurrent = LAYERS[layer](CHANNELS, hidden, layers, batch_first=True, dropout=dropout)
        self.fc = nn.Linear(hidden, HORIZON * CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        """Forecast `(batch, horizon, channels)`."""
        output, _ = self.recurrent(x)
        return self.fc(output[:, -1, :]).view(-1, HORIZON, CHANNELS)


def both_models(layer: str, options: dict[str, Any]) -> tuple[TextbookForecaster, Forecaster]:
    """Build the textbook's model and ours with the same weights."""
    torch.manual_seed(0)
    textbook = TextbookForecaster(layer, options)
    ours = Forecaster(
        CHANNELS,
        options["hidden_dim"],
        options["num_layers"],
        HORIZON * CHANNELS,
        horizon=HORIZON,
        layer=layer,
        encoder=EncoderOptions("none", channel_independent=False),
        dropouts=Dropouts(head=0.0),
    )
    weights = textbook.state_dict().items()
    ours.load_state_dict({k.replace("fc.", "decoder.linear."): v for k, v in weights})
    return textbook, ours


def _implementation(name: str, data: Any, options: dict[str, Any]) -> Implementation:
    way, _, layer = name.rpartition(" ")
    device, bfloat16, steps = options["device"], options["bfloat16"], options["steps"]
    textbook, ours = both_models(layer, options)
    if way == "reference":
        return Loop(textbook_workload(textbook, data, steps), device, bfloat16, fused=None)
    workload = our_workload(ours, data, steps)
    if way == "loop":
        return Loop(workload, device, bfloat16)
    return Fit(workload, data.train_dataloader(), steps, device, bfloat16)


def our_workload(model: Forecaster, data: Any, steps: int) -> Workload:
    """Return the first batches of an epoch of the data module."""
    return Workload(
        model,
        lambda batch: model.step(batch).loss,
        lambda number: first_batches(data.train_dataloader(), steps),
        lambda: islice(data.train_dataloader(), CHECKED),
        lambda batch: len(batch.rows),
        PAST * training_flops(model.recurrent),
    )


def textbook_workload(model: TextbookForecaster, data: Any, steps: int) -> Workload:
    """Return as many batches of the textbook's windows; checks are on the windows of ours."""
    windows = TextbookWindows(data)

    def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
        past, future = batch
        return nn.functional.mse_loss(model(past), future)

    def batches(number: int) -> Iterable[Any]:
        generator = torch.Generator().manual_seed(number)
        loader = DataLoader(windows, BATCH, shuffle=True, generator=generator)
        return map(tuple, first_batches(loader, steps))

    def checks() -> Iterable[Any]:
        return (_stack(windows, each) for each in islice(data.train_dataloader(), CHECKED))

    flops = PAST * training_flops(model.recurrent)
    return Workload(model, loss, batches, checks, lambda batch: len(batch[0]), flops)


def _stack(windows: TextbookWindows, batch: WindowBatch) -> tuple[Tensor, Tensor]:
    past, future = zip(*(windows[row] for row in batch.rows.tolist()), strict=True)
    return torch.stack(past), torch.stack(future)
