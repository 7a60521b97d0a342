"""Claims on speed: training steps of layers on batches of sequences, timed in turns."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np

from rnn_lab.benchmarks.comparison import Comparison, Measured, Variant
from rnn_lab.benchmarks.layers import TOLERANCE, TORCH_LAYERS, layer_options
from rnn_lab.benchmarks.lengths import generated_lengths
from rnn_lab.benchmarks.machine import kernels
from rnn_lab.benchmarks.measure import measure
from rnn_lab.benchmarks.settings import Settings
from rnn_lab.claims.claim import Claim
from rnn_lab.errors import UserError
from rnn_lab.nn import LAYERS

LAYER = "layer"  # the option in which variants differ
KERNELS = "kernels"  # which layers of rnn_lab use


class Cost(NamedTuple):
    """What a variant costs.

    Attributes:
        seconds: Time of one training step on each batch, the median over rounds for each.
        peak_memory: Memory of a step at its peak in bytes; None where the system does not tell.
    """

    seconds: float
    peak_memory: float | None


@dataclass(frozen=True)
class LayerTiming:
    """What is timed: forward and backward pass of layers over sequences of different lengths.

    Args:
        layers: The layer of each variant: a name in `rnn_lab.nn.LAYERS`, which reads lengths, or
            one of PyTorch's on packed or padded batches, such as `nn.LSTM, packed`.
        units: Inputs and units of a layer.
        batch_size: Sequences of a batch.
        batches: Number of batches.
        rounds: Number of times that each batch is timed.

    Raises:
        UserError: If there is no such layer, or a number is not positive.
    """

    layers: dict[str, str]
    units: int = 128
    batch_size: int = 64
    batches: int = 4
    rounds: int = 5

    def __post_init__(self) -> None:
        for layer in self.layers.values():
            _check_layer(layer)
        for name in ("units", "batch_size", "batches", "rounds"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise UserError(f"{name} must be a whole number of at least 1, got {value!r}")

    def options(self, variant: str) -> dict[str, Any]:
        """Return the options of a variant and the kernels of this process, as plain values."""
        options = asdict(self)
        del options["layers"]
        return {**options, LAYER: self.layers[variant], KERNELS: kernels()}


def layer_timing(claim: Claim) -> LayerTiming:
    """Return what a claim on speed times.

    Raises:
        UserError: If an option is unknown or invalid.
    """
    known = [each.name for each in fields(LayerTiming)][1:]
    for name in claim.options:
        if name not in known:
            raise UserError(f"{claim.name}: the benchmark has no option {name}: {_use(known)}")
    for name, options in claim.variants.items():
        if [*options] != [LAYER]:
            raise UserError(f"{claim.name}: the variant {name} must set {LAYER} and nothing else")
    layers = {name: options[LAYER] for name, options in claim.variants.items()}
    try:
        return LayerTiming(layers, **claim.options)
    except UserError as error:
        raise UserError(f"{claim.name}: {error}") from error


def time_layers(timing: LayerTiming, seed: int) -> dict[str, Cost]:
    """Time all variants in turns, on one thread, after a check that they compute the same.

    Args:
        timing: What is timed.
        seed: Random seed of the lengths, which are like those of sentences.

    Returns:
        The cost of each variant.

    Raises:
        UserError: If variants do not compute the same.
    """
    rng = np.random.default_rng(seed)
    shape = timing.batches, timing.batch_size
    lengths = generated_lengths(rng, timing.batches * timing.batch_size).reshape(shape).tolist()
    comparison = Comparison(
        "layers",
        f"seed {seed}",
        layer_options(Settings(), timing.units, lengths),
        [Variant(name, layer) for name, layer in timing.layers.items()],
        [],
        [[*timing.layers]],
        "tokens",
        tolerance=TOLERANCE,
    )
    measured = measure(comparison, timing.batches * timing.rounds)
    return {each.name: _cost(each, timing.batches) for each in measured.variants}


def _cost(measured: Measured, batches: int) -> Cost:
    """Add up the batches, each of which returned after a round through the others."""
    seconds = [sample.seconds for sample in measured.samples]
    total = sum(statistics.median(seconds[first::batches]) for first in range(batches))
    memory = None if measured.megabytes is None else 1e6 * measured.megabytes
    return Cost(total, memory)


def _check_layer(name: str) -> None:
    of_torch = [f"{layer}, {how}" for layer in TORCH_LAYERS for how in ("packed", "padded")]
    known = [*LAYERS, *of_torch]
    if name not in known:
        near = get_close_matches(str(name), known, 3)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else _use(known)
        raise UserError(f"there is no layer {name!r}: {hint}")


def _use(names: Sequence[str]) -> str:
    return f"use {', '.join(map(repr, names))}"
