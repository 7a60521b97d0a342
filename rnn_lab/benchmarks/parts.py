"""The parts of `rnn-lab bench`, by name."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from rnn_lab.benchmarks import (
    data,
    decode,
    forecasting,
    language,
    layers,
    scaling,
    text,
    trainer,
    translation,
)
from rnn_lab.benchmarks.comparison import Comparison, Implementation
from rnn_lab.benchmarks.settings import Settings


class Part(NamedTuple):
    """A part of the measurements.

    Attributes:
        comparisons: Yields what is compared under some settings.
        build: Builds implementations by name, from the options of a comparison.
    """

    comparisons: Callable[[Settings], Iterator[Comparison]]
    build: Callable[[dict[str, Any], Sequence[str]], dict[str, Implementation]]


PARTS = {
    "layers": Part(layers.comparisons, layers.build),
    "text": Part(text.comparisons, text.build),
    "translation": Part(translation.comparisons, translation.build),
    "forecasting": Part(forecasting.comparisons, forecasting.build),
    "language": Part(language.comparisons, language.build),
    "trainer": Part(trainer.comparisons, trainer.build),
    "data": Part(data.comparisons, data.build),
    "decode": Part(decode.comparisons, decode.build),
    "scaling": Part(scaling.comparisons, scaling.build),
}
