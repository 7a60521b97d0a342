"""Attention weights of sentences as SVG, from what a validation or test has saved of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from rnn_lab.io.run_files import read_record
from rnn_lab.reporting.environment import ENVIRONMENT
from rnn_lab.reporting.parts import Picture, clean, shortened

MAX_MAPS, MAX_TOKEN = 4, 18  # in a report; characters of a token
MAX_NARROW = 12  # source tokens of a map that does not need the full width
CHARACTER, CELL = 7.0, 20  # pixels
SPLITS = {"test": "test", "valid": "validation"}
DAMAGED = (KeyError, TypeError, ValueError, AttributeError)


def attention_maps(folder: Path) -> list[Picture]:
    """Draw the saved attention weights of the test, else those of the validation.

    Args:
        folder: The folder of the run.

    Returns:
        A figure for each sentence; none if the file is missing or damaged.
    """
    for name, split in SPLITS.items():
        try:
            sentences = read_record(folder / "attention" / f"{name}.json")["sentences"][:MAX_MAPS]
            return [_picture(each, number, split) for number, each in enumerate(sentences, 1)]
        except DAMAGED:
            continue
    return []


def _picture(sentence: Mapping[str, Any], number: int, split: str) -> Picture:
    source, target = sentence["source"], sentence["target"]
    cut = f"; the first {len(target)} by {len(source)} tokens" if sentence["cut"] else ""
    largest = max(map(max, sentence["weights"]))
    caption = (
        f"Attention weights of sentence {number} of the {split} split, at most {largest:.2f}: "
    )
    svg = attention_map(source, target, sentence["weights"])
    return Picture(
        f"{caption}target token by source token{cut}", svg, wide=len(source) > MAX_NARROW
    )


def attention_map(source: list[str], target: list[str], weights: list[list[float]]) -> Markup:
    """Draw attention weights as a heat map, of which the largest weight has the full color.

    Args:
        source: Source tokens.
        target: Target tokens.
        weights: `(target, source)`, each from 0 to 1.

    Raises:
        ValueError: If the weights have another shape.
    """
    values = np.array(weights, float)
    if values.shape != (len(target), len(source)) or not values.size:
        raise ValueError(f"weights must have shape {(len(target), len(source))}")
    top, left = ([_label(token) for token in tokens] for tokens in (source, target))
    above, beside = (CHARACTER * max(map(len, labels)) for labels in (top, left))
    opacities = values / max(values.max(), np.finfo(float).tiny)
    drawing = ENVIRONMENT.get_template("attention_map.svg").render(
        source=top, target=left, weights=values.round(3).tolist(),
        opacities=opacities.round(3).tolist(), cell=CELL,
        left=round(beside) + 34, top=round(0.72 * above) + 30, right=round(0.72 * above) + 6,
    )  # fmt: skip
    return Markup(drawing)


def _label(token: str) -> str:
    return shortened(clean("".join("␣" if char.isspace() else char for char in token)), MAX_TOKEN)
