"""Each cell against torch's cell or against its equations, unit by unit."""

import math

import pytest
import torch
from torch import Tensor, nn

from rnn_lab.nn import layers
from rnn_lab.nn.functional.state import as_tuple

INPUT, HIDDEN, BATCH = 5, 6, 4

TORCH_CELLS = [
    (layers.RNNCell, nn.RNNCell),
    (layers.LSTMCell, nn.LSTMCell),
    (layers.GRUCell, nn.GRUCell),
]
OTHER_CELLS = [
    (layers.LayerNormLSTMCell, {"norm": "all"}),
    (layers.LayerNormLSTMCell, {"norm": "gate"}),
    (layers.LayerNormGRUCell, {"norm": "all"}),
    (layers.LayerNormGRUCell, {"norm": "gate"}),
    (layers.PeepholeLSTMCell, {}),
    (layers.IndRNNCell, {}),
    (layers.SRUCell, {"highway_bias": -1.0}),
    (layers.SLSTMCell, {"heads": 2}),
]


def randn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def build(kind: type[layers.Cell], *, inputs: int = INPUT, **options: object) -> layers.Cell:
    """Return a cell with no parameter equal to zero or one."""
    torch.manual_seed(0)
    cell = kind(inputs, HIDDEN, **options).double()
    for parameter in cell.parameters():
        parameter.data += torch.randn_like(parameter) / 4
    return cell


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize(("cell_class", "torch_class"), TORCH_CELLS)
def test_a_cell_equals_torchs_cell_with_the_same_parameters(
    cell_class: type[layers.Cell], torch_class: type[nn.Module]
) -> None:
    torch_cell = torch_class(INPUT, HIDDEN).double()
    cell = cell_class(INPUT, HIDDEN).double()
    cell.load_state_dict(torch_cell.state_dict())
    x, state = randn(BATCH, INPUT), randn(BATCH, HIDDEN, seed=2)
    state = (state, randn(BATCH, HIDDEN, seed=3)) if cell.num_states == 2 else state
    torch.testing.assert_close(cell(x, state), torch_cell(x, state))
    torch.testing.assert_close(cell(x), torch_cell(x))


def reference_step(  # noqa: C901  # a table of equations
    cell: layers.Cell, x: list[float], state: list[list[float]]
) -> list[list[float]]:
    """Compute a step of one sequence unit by unit from the equations of the papers."""
    size = cell.hidden_size
    weights = {name: p.tolist() for name, p in cell.named_parameters()}
    h = state[0]

    def matvec(matrix: list[list[float]], vector: list[float]) -> list[float]:
        return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]

    def normed(v: list[float], groups: int) -> list[float]:
        out: list[float] = []
        for k in range(groups):
            part = v[k * len(v) // groups : (k + 1) * len(v) // groups]
            mean = sum(part) / len(part)
            std = math.sqrt(sum((a - mean) ** 2 for a in part) / len(part) + 1e-5)
            out += [(a - mean) / std for a in part]
        return out

    def affine(v: list[float], gain: str, bias: str) -> list[float]:
        return [a * g + b for a, g, b in zip(v, weights[gain], weights[bias], strict=True)]

    if isinstance(cell, layers.LayerNormLSTMCell | layers.LayerNormGRUCell):
        groups = 1 if cell.norm == "all" else cell.num_gates
        u = affine(normed(matvec(weights["weight_ih"], x), groups), "gain_ih", "bias_ih")
        h_gates = affine(normed(matvec(weights["weight_hh"], h), groups), "gain_hh", "bias_hh")
    if isinstance(cell, layers.LayerNormGRUCell):
        h_new = []
        for k in range(size):
            r, z = (sigmoid(u[g * size + k] + h_gates[g * size + k]) for g in (0, 1))
            n = math.tanh(u[2 * size + k] + r * h_gates[2 * size + k])
            h_new.append((1 - z) * n + z * h[k])
        return [h_new]
    if isinstance(cell, layers.LayerNormLSTMCell):
        v, c = [a + b for a, b in zip(u, h_gates, strict=True)], []
        for k in range(size):
            i, f, g = sigmoid(v[k]), sigmoid(v[size + k]), math.tanh(v[2 * size + k])
            c.append(f * state[1][k] + i * g)
        normed_c = affine(normed(c, 1), "gain_c", "bias_c")
        return [[sigmoid(v[3 * size + k]) * math.tanh(normed_c[k]) for k in range(size)], c]
    if isinstance(cell, layers.PeepholeLSTMCell):
        u, h_gates = matvec(weights["weight_ih"], x), matvec(weights["weight_hh"], h)
        biases = zip(weights["bias_ih"], weights["bias_hh"], strict=True)
        v = [a + b + sum(both) for a, b, both in zip(u, h_gates, biases, strict=True)]
        p, h_new, c = weights["weight_ch"], [], []
        for k in range(size):
            old = state[1][k]
            i = sigmoid(v[k] + p[k] * old)
            f = sigmoid(v[size + k] + p[size + k] * old)
            c.append(f * old + i * math.tanh(v[2 * size + k]))
            o = sigmoid(v[3 * size + k] + p[2 * size + k] * c[k])
            h_new.append(o * math.tanh(c[k]))
        return [h_new, c]
    if isinstance(cell, layers.IndRNNCell):
        u = matvec(weights["weight_ih"], x)
        return [
            [
                max(u[k] + weights["bias_ih"][k] + weights["weight_hh"][k] * h[k], 0.0)
                for k in range(size)
            ]
        ]
    if isinstance(cell, layers.SRUCell):
        u, b, v = matvec(weights["weight_ih"], x), weights["bias_ih"], weights["weight_ch"]
        highway = u[3 * size :] or x
        scale, h_new, c = math.sqrt(1 + 2 * math.exp(cell.highway_bias)), [], []
        for k in range(size):
            old = state[1][k]
            f = sigmoid(u[size + k] + v[k] * old + b[k])
            r = sigmoid(u[2 * size + k] + v[size + k] * old + b[size + k])
            c.append(f * old + (1 - f) * u[k])
            h_new.append(r * c[k] + (1 - r) * scale * highway[k])
        return [h_new, c]
    assert isinstance(cell, layers.SLSTMCell)
    u, part = matvec(weights["weight_ih"], x), size // cell.heads
    h_new, c, n, m = [], [], [], []
    for k in range(size):
        head, unit = k // part, k % part
        h_head = h[head * part : (head + 1) * part]
        i, f, z, o = (
            u[g * size + k]
            + weights["bias_ih"][g * size + k]
            + matvec([weights["weight_hh"][head][g * part + unit]], h_head)[0]
            for g in range(4)
        )
        _, old_c, old_n, old_m = (s[k] for s in state)
        log_f = math.log(sigmoid(f)) + old_m
        m.append(max(log_f, i) if old_n else i)
        c.append(math.exp(log_f - m[k]) * old_c + math.exp(i - m[k]) * math.tanh(z))
        n.append(math.exp(log_f - m[k]) * old_n + math.exp(i - m[k]))
        h_new.append(sigmoid(o) * c[k] / n[k])
    return [h_new, c, n, m]


@pytest.mark.parametrize(("kind", "options"), OTHER_CELLS)
@pytest.mark.parametrize("inputs", [INPUT, HIDDEN])
def test_a_cell_follows_its_equations(
    kind: type[layers.Cell], options: dict[str, object], inputs: int
) -> None:
    cell = build(kind, inputs=inputs, **options)
    state: object = None
    rows: list[list[list[float]]] = [[[0.0] * HIDDEN] * cell.num_states] * BATCH
    for seed in range(3):
        x = randn(BATCH, inputs, seed=seed)
        state = cell(x, state)
        rows = [reference_step(cell, *inputs) for inputs in zip(x.tolist(), rows, strict=True)]
        actual = state if isinstance(state, tuple) else (state,)
        expected = [torch.tensor(part, dtype=torch.float64) for part in zip(*rows, strict=True)]
        torch.testing.assert_close(list(actual), expected)


@pytest.mark.parametrize(("kind", "options"), OTHER_CELLS)
def test_a_step_equals_projection_and_update(
    kind: type[layers.Cell], options: dict[str, object]
) -> None:
    cell, x = build(kind, **options), randn(3, BATCH, INPUT)
    state = (randn(BATCH, HIDDEN).abs(),) * cell.num_states
    full = cell(x[1], state if cell.num_states > 1 else state[0])
    parts = cell.update(cell.project(x)[1], state)
    torch.testing.assert_close(full if isinstance(full, tuple) else (full,), parts)


# Initialization.


@pytest.mark.parametrize(
    "kind", [layers.LSTMCell, layers.LayerNormLSTMCell, layers.PeepholeLSTMCell]
)
def test_forget_gates_are_initialized_to_one(kind: type[layers.Cell]) -> None:
    cell = kind(INPUT, HIDDEN)
    i, f, g, o = (cell.bias_ih + cell.bias_hh).chunk(4)
    bound = HIDDEN**-0.5 if kind is layers.LayerNormLSTMCell else 0.0  # of its random biases
    assert ((f - 1).abs() <= bound).all()
    assert (torch.cat([i, g, o]).abs() <= bound).all()


@pytest.mark.parametrize("kind", [layers.RNNCell, layers.GRUCell, layers.LayerNormGRUCell])
def test_recurrent_weights_are_orthogonal_for_each_gate(kind: type[layers.Cell]) -> None:
    for gate in kind(INPUT, HIDDEN).weight_hh.split(HIDDEN):
        torch.testing.assert_close(gate @ gate.T, torch.eye(HIDDEN), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (layers.LayerNormLSTMCell, {"norm": "row"}, "norm must be all or gate, got 'row'"),
        (layers.IndRNNCell, {"max_seq_len": 0}, "max_seq_len must be at least 1, got 0"),
        (layers.SLSTMCell, {"heads": 4}, "heads must divide hidden_size=6, got 4"),
    ],
)
def test_invalid_options_are_errors(
    kind: type[layers.Cell], options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        kind(INPUT, HIDDEN, **options)


@pytest.mark.parametrize(("kind", "options"), OTHER_CELLS)
def test_a_state_of_another_shape_is_refused(
    kind: type[layers.Cell], options: dict[str, object]
) -> None:
    cell, x = kind(INPUT, HIDDEN, **options), torch.randn(3, INPUT)
    state = as_tuple(cell(x))
    for wrong in (state[0][:1], (*state, state[0]), tuple(part[:1] for part in state)):
        with pytest.raises(ValueError, match="the state must have the shapes"):
            cell(x, wrong)


@pytest.mark.parametrize("base", [layers.SRUCell, layers.LayerNormGRUCell, layers.PeepholeLSTMCell])
def test_a_subclass_with_a_step_of_its_own_does_not_inherit_a_compiled_kernel(base: type) -> None:
    class Renamed(base):
        pass

    class Own(base):
        def update(self, projected: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return super().update(projected / 2, state)

    assert base(3, 4).native_kernel == Renamed(3, 4).native_kernel != ""
    assert Own(3, 4).native_kernel == ""
