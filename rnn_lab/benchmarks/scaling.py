"""Time per token of layers against length, batch size and number of units, and over processes."""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from rnn_lab.benchmarks import layers, trainer
from rnn_lab.benchmarks.comparison import Comparison, Implementation, Variant
from rnn_lab.benchmarks.layers import SAME_AS_TORCH, LayerStep
from rnn_lab.benchmarks.machine import PLAIN, threads_title
from rnn_lab.benchmarks.settings import Settings

LAYERS = ("LSTM", "GRU", "LayerNormLSTM", "MinGRU", "MLSTM")
BASE = {"batch": 32, "length": 100, "units": 128}
AXES = {
    "length": (50, 100, 256, 512, 1024, 2048, 4096),
    "batch": (1, 4, 16, 64, 256),
    "units": (32, 64, 128, 256, 512),
}
PROCESSES = (1, 2)
TRAINED_LAYERS = ("LSTM", "GRU")  # in several processes
QUICK_AXES = {"length": (50, 200), "batch": (4, 32), "units": (64, 128)}


def comparisons(
    settings: Settings, axes: Mapping[str, Sequence[int]] | None = None
) -> Iterator[Comparison]:
    """Yield a comparison for each axis, in which all sizes of all layers take turns.

    Where the machine has cores or GPUs for them, training in several processes follows.

    Args:
        settings: Options of the command line.
        axes: Values of each key of `BASE`.
    """
    if axes is None:
        axes = QUICK_AXES if settings.quick else AXES
    for axis, values in axes.items():
        for threads in settings.threads:
            yield _comparison(settings, axis, values, threads)
    for threads in settings.threads:
        available = (os.cpu_count() or 1) // threads
        if settings.device != "cpu":
            available = torch.cuda.device_count()
        if available >= max(PROCESSES):
            yield _over_processes(settings, threads)


def _comparison(settings: Settings, axis: str, values: Sequence[int], threads: int) -> Comparison:
    names = [layers.known(name) for name in settings.layers] or LAYERS
    torch_layers = [f"nn.{name}" for name in names if name in SAME_AS_TORCH] or ["nn.LSTM"]
    variants, equal = [], []
    for value in values:
        variants += [Variant(_name(name, value), _name(name, value)) for name in torch_layers]
        for name in names:
            ours = [Variant(_name(name, value), _name(name, value))]
            if settings.plain_too:
                plain = _name(f"{name} plain", value)
                ours.append(Variant(plain, ours[0].implementation, PLAIN))
            variants += ours
            torch_layer = [_name(f"nn.{name}", value)] if name in SAME_AS_TORCH else []
            equal.append([*torch_layer, *(each.name for each in ours)])
    fixed = " x ".join(f"{size} {name}" for name, size in BASE.items() if name != axis)
    return Comparison(
        "scaling",
        f"{axis}, {fixed}, {threads_title(threads)}",
        {"axis": axis, "products": _products(axis, values), **settings.computation()},
        variants,
        [_name(torch_layers[0], values[0])],
        equal,
        "tokens",
        threads,
        layers.tolerance(settings),
    )


def _over_processes(settings: Settings, threads: int) -> Comparison:
    """Compare `rnn-lab fit` in one process and in several, each of which has batches of its own."""
    names = [layers.known(name) for name in settings.layers] or TRAINED_LAYERS
    variants = [_name(layer, count) for layer in names for count in PROCESSES]
    options = {
        **{"axis": "processes", "data": "SyntheticReviews", **trainer.SIZES},
        "steps": trainer.QUICK_STEPS if settings.quick else trainer.STEPS,
        **settings.computation(),
    }
    return Comparison(
        "scaling",
        f"processes, text classifier, {trainer.BATCH} texts in each, {threads_title(threads)}",
        options,
        [Variant(name, name) for name in variants],
        variants[:1],
        [],  # each process has batches of its own, so losses differ
        "texts",
        threads,
    )


def _products(axis: str, values: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return the shapes of the products of an LSTM, of all steps and of one."""
    widths = values if axis == "units" else [BASE["units"]]
    rows = BASE["batch"] * BASE["length"], BASE["batch"]
    return [(count, units, 4 * units) for units in widths for count in rows]


def _name(layer: str, value: int) -> str:
    return f"{layer}, {value}"


def parse_name(name: str) -> tuple[str, int]:
    """Return the layer and the size in the name of a variant.

    Example:
        >>> parse_name("nn.LSTM, 4096")
        ('nn.LSTM', 4096)
    """
    layer, _, value = name.rpartition(", ")
    return layer, int(value)


def build(options: dict[str, Any], names: Sequence[str]) -> dict[str, Implementation]:
    """Build layers by names such as `GRU, 512`, of which the number is a size on the axis."""
    built: dict[str, Implementation] = {}
    for name in names:
        layer, value = parse_name(name)
        if options["axis"] == "processes":
            train = partial(trainer.fit_by_command, options | {"layer": layer, "processes": value})
            built[name] = trainer.Training(train, options["steps"], trainer.BATCH * value)
            continue
        sizes = BASE | {options["axis"]: value}
        own = {
            "units": sizes["units"],
            "bidirectional": False,
            "lengths": [[sizes["length"]] * sizes["batch"]],
        }
        built[name] = LayerStep(layer, options | own)
    return built
