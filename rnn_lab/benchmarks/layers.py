"""Training steps of recurrent layers, compared with torch's layers in the same rounds."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from rnn_lab.benchmarks.comparison import Comparison, Implementation, Sample, Variant
from rnn_lab.benchmarks.lengths import length_batches
from rnn_lab.benchmarks.machine import PLAIN, threads_title
from rnn_lab.benchmarks.settings import Settings
from rnn_lab.benchmarks.timing import timed, training_flops
from rnn_lab.errors import UserError
from rnn_lab.nn import LAYERS, build_layer
from rnn_lab.nn.functional.padding import lengths_to_mask

TORCH_LAYERS = {"nn.LSTM": nn.LSTM, "nn.GRU": nn.GRU, "nn.RNN": nn.RNN}
REFERENCES = ("nn.LSTM", "nn.GRU", "nn.RNN")
SAME_AS_TORCH = ("LSTM", "GRU", "RNN")
VARYING = ("LSTM", "GRU")  # layers that are compared on sequences of different lengths
SHAPES = ((32, 256, 128), (64, 20, 128), (32, 96, 256))  # batch, steps, units
QUICK_SHAPES = ((32, 64, 128),)
# Relative difference of outputs and gradients; layer norm magnifies rounding over the steps.
TOLERANCE, BFLOAT16_TOLERANCE = 1e-3, 5e-2
MAX_VALUES = 64  # of an output or a gradient, compared between implementations

LayerOutput = tuple[Tensor, Any]


def comparisons(
    settings: Settings, shapes: Sequence[tuple[int, int, int]] = ()
) -> Iterator[Comparison]:
    """Yield the comparisons of layers under some settings.

    Args:
        settings: Options of the command line.
        shapes: Batch size, steps and units of each; by default those of the documentation.
    """
    names = [known(name) for name in settings.layers] or list(LAYERS)
    shapes = shapes or (QUICK_SHAPES if settings.quick else SHAPES)
    for threads in settings.threads:
        for shape in shapes:
            yield _equal_lengths(settings, names, shape, threads)
        varying = [name for name in VARYING if name in names]
        if varying:
            for source, batches in length_batches(settings.quick).items():
                yield _unlike_lengths(settings, varying, (source, batches), threads)


def build(options: dict[str, Any], names: Sequence[str]) -> dict[str, Implementation]:
    """Build layers by name, those of torch and ours with the same weights where they agree."""
    return {name: LayerStep(name, options) for name in names}


class LayerStep(Implementation):
    """Forward and backward pass of a layer on random sequences.

    Args:
        name: `nn.LSTM` and the like, also with `packed` or `padded` behind it, or a name in
            `LAYERS`.
        options: `units`, `bidirectional`, `device`, `bfloat16`, and `lengths` of each batch.
    """

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        self.name, _, self.padding = name.partition(", ")
        self.device, self.bfloat16 = options["device"], options["bfloat16"]
        units, bidirectional = options["units"], options["bidirectional"]
        self.layer = make_layer(self.name, units, bidirectional).to(self.device)
        generator = torch.Generator().manual_seed(1)
        self.batches = []
        for lengths in map(torch.tensor, options["lengths"]):
            shape = len(lengths), int(lengths.max()), units
            x = torch.randn(shape, generator=generator).to(self.device)
            self.batches.append((x.requires_grad_(), lengths))
        self.equal_lengths = all(lengths.unique().numel() == 1 for _, lengths in self.batches)
        self.flops = training_flops(self.layer)

    def values(self) -> list[float]:
        x, lengths = self.batches[0]
        output = self._output(x, lengths)
        output = output * lengths_to_mask(lengths, x.size(1), output.device).unsqueeze(2)
        steps = torch.linspace(-1, 1, output.size(2), device=self.device)
        (output.float() * steps).sum().backward()
        assert x.grad is not None
        real = lengths_to_mask(lengths, x.size(1), output.device)
        gradient = x.grad[real]
        x.grad = None
        self.layer.zero_grad()
        return [*_sample(output[real]), *_sample(gradient)]

    def run(self, number: int) -> Sample:
        x, lengths = self.batches[number % len(self.batches)]
        seconds = timed(lambda: self._train(x, lengths), self.device)
        return Sample(seconds, int(lengths.sum()))

    def _train(self, x: Tensor, lengths: Tensor) -> None:
        self._output(x, lengths).float().sum().backward()
        x.grad = None
        self.layer.zero_grad()

    def _output(self, x: Tensor, lengths: Tensor) -> Tensor:
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, self.bfloat16):
            if self.name not in TORCH_LAYERS and not self.equal_lengths:
                return self.layer(x, lengths)[0]
            if self.padding != "packed":
                return self.layer(x)[0]
            packed: PackedSequence = pack_padded_sequence(
                x, lengths, batch_first=True, enforce_sorted=False
            )
            return pad_packed_sequence(self.layer(packed)[0], batch_first=True)[0]


def make_layer(name: str, units: int, bidirectional: bool = False) -> nn.Module:
    """Build a layer with as many inputs as units; equal layers have equal weights.

    Args:
        name: Name in `TORCH_LAYERS` or `LAYERS`.
        units: Inputs, and units per direction.
        bidirectional: Whether there is a backward direction, too.
    """
    torch.manual_seed(0)
    if name in TORCH_LAYERS:
        return TORCH_LAYERS[name](units, units, batch_first=True, bidirectional=bidirectional)
    layer = build_layer(name, units, units, bidirectional=bidirectional)
    if name in SAME_AS_TORCH:
        layer.load_state_dict(make_layer(f"nn.{name}", units, bidirectional).state_dict())
    return layer


def _sample(values: Tensor) -> list[float]:
    """Return a few values of a tensor, at equal distances."""
    flat = values.detach().float().flatten()
    return flat[:: max(1, flat.numel() // MAX_VALUES)].tolist()


def known(name: str) -> str:
    """Return the name of a layer that exists.

    Raises:
        UserError: If there is none of this name.
    """
    if name not in LAYERS:
        raise UserError(f"there is no recurrent layer {name}: use {', '.join(LAYERS)}")
    return name


def _equal_lengths(
    settings: Settings, names: Sequence[str], shape: tuple[int, int, int], threads: int
) -> Comparison:
    batch, steps, units = shape
    ours = [variant for name in names for variant in _with_plain(name, settings)]
    return Comparison(
        "layers",
        f"{batch} x {steps} x {units}, {threads_title(threads)}",
        layer_options(settings, units, [[steps] * batch]),
        [*(Variant(name, name) for name in REFERENCES), *ours],
        REFERENCES,
        [
            [f"nn.{name}", *(each.name for each in ours if each.implementation == name)]
            if name in SAME_AS_TORCH
            else [each.name for each in ours if each.implementation == name]
            for name in names
        ],
        "tokens",
        threads,
        tolerance(settings),
    )


def _unlike_lengths(
    settings: Settings, names: Sequence[str], source: tuple[str, list[list[int]]], threads: int
) -> Comparison:
    where, batches = source
    units = QUICK_SHAPES[0][2]
    variants, groups, references = [], [], []
    for name in names:
        torch_layer = f"nn.{name}"
        packed = Variant(f"{torch_layer}, packed", f"{torch_layer}, packed")
        ours = _with_plain(name, settings)
        padded = Variant(f"{torch_layer}, padded", f"{torch_layer}, padded")
        variants += [packed, padded, *ours]
        groups.append([packed.name, *(each.name for each in ours)])
        references += [packed.name, padded.name]
    options = layer_options(settings, units, batches) | {"bidirectional": True}
    title = f"{where}, bidirectional, {units} units, {threads_title(threads)}"
    equality = groups, "tokens", threads, tolerance(settings)
    return Comparison("layers", title, options, variants, references, *equality)


def layer_options(settings: Settings, units: int, batches: list[list[int]]) -> dict[str, Any]:
    """Return what `build` needs, with the shapes of the products of a GRU and an LSTM."""
    rows = sum(batches[0])
    products = [(m, units, gates * units) for m in (rows, len(batches[0])) for gates in (3, 4)]
    return {
        "units": units,
        "bidirectional": False,
        **settings.computation(),
        "lengths": batches,
        "products": products,
    }


def tolerance(settings: Settings) -> float:
    """Return the difference up to which outputs and gradients count as equal."""
    return BFLOAT16_TOLERANCE if settings.bfloat16 else TOLERANCE


def _with_plain(name: str, settings: Settings) -> list[Variant]:
    """Return a layer, and the same without compiled kernels if that is wanted."""
    plain = [Variant(f"{name}, plain", name, PLAIN)] if settings.plain_too else []
    return [Variant(name, name), *plain]
