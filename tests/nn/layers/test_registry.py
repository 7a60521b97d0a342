"""Laws of the registry of recurrent layers: options, errors, documentation, cost formulas."""

import re

import pytest
from random_layers import HIDDEN, INPUT, every_layer

from rnn_lab.nn import LAYERS, build_layer
from rnn_lab.nn.layers.registry import layer_kwargs


@every_layer
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"zoneot": 0.1}, "has no option zoneot; it has zoneout"),
        ({"zoneout": 1.0}, "zoneout must be at least 0 and below 1, got 1.0"),
        ({"weight_drop": -0.1}, "weight_drop must be at least 0 and below 1, got -0.1"),
    ],
)
def test_invalid_options_are_errors(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_layer(name, INPUT, HIDDEN, options=options)


def test_the_error_on_an_unknown_layer_suggests_close_names() -> None:
    with pytest.raises(ValueError, match="no recurrent layer LSTN: did you mean LSTM"):
        build_layer("LSTN", INPUT, HIDDEN)
    with pytest.raises(ValueError, match=r"no recurrent layer gru: did you mean GRU\?"):
        build_layer("gru", INPUT, HIDDEN)


@every_layer
def test_a_layer_documents_its_year_and_source(name: str) -> None:
    layer = LAYERS[name]
    assert 1980 < layer.year < 2030
    assert re.search(r"Source: .+ \(\d{4}\), https://", layer.__doc__)
    assert layer.__doc__.partition("\n")[0].endswith(".")
    assert {
        "variational_dropout",
        "weight_drop",
        "zoneout",
        "trainable_initial_state",
    } <= layer_kwargs(name).keys()


@every_layer
@pytest.mark.parametrize(("inputs", "hidden"), [(8, 16), (24, 8)])
def test_the_cost_formula_matches_the_size_of_the_matrices(
    name: str, inputs: int, hidden: int
) -> None:
    """Each weight of a matrix is used once per step; all other terms are small."""
    heads = layer_kwargs(name).get("heads")
    layer = build_layer(name, inputs, hidden, options={"heads": 2} if heads is not None else {})
    size = sum(p.numel() for key, p in layer.named_parameters() if p.dim() > 1)
    formula = layer.cost.replace("heads", "2")
    formula = re.sub(r"(?<=[\dDH)])(?=[DH(])", "*", formula).replace("^", "**")
    cost = eval(formula, {"D": inputs, "H": hidden})  # a formula from this repository
    assert cost == pytest.approx(size, rel=0.35), (layer.cost, size)
