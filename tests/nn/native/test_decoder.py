"""Decoders with compiled step loops equal plain PyTorch, and have the same bits in any batch."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnn_lab.nn import ATTENTIONS, AttentionDecoder, InputFeedingDecoder
from rnn_lab.nn.functional.padding import lengths_to_mask
from rnn_lab.nn.functional.state import as_tuple, from_tuple
from rnn_lab.nn.native import decoder as native
from rnn_lab.nn.native.library import disabled
from rnn_lab.nn.seq2seq.attention import Memory
from rnn_lab.nn.seq2seq.decoders import AttentiveDecoder
from rnn_lab.nn.seq2seq.dropouts import Seq2SeqDropouts

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("compiled")]
ROWS, TIME, STEPS = 6, 9, 4
LENGTHS = torch.tensor([4, 9, 1, 7, 9, 2])
TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-10}
CLASSES = {"before": AttentionDecoder, "input feeding": InputFeedingDecoder}
every_position = pytest.mark.parametrize("position", CLASSES)
every_layer = pytest.mark.parametrize("layer", ["RNN", "GRU", "LSTM"])
every_score = pytest.mark.parametrize("attention", sorted(ATTENTIONS))


def build(
    position: str,
    layer: str = "LSTM",
    attention: str = "additive",
    sizes: tuple[int, int, int] = (5, 6, 8),
    num_layers: int = 2,
    **options: Any,
) -> AttentiveDecoder:
    """Build a decoder from the sizes of embedding, hidden state and memory."""
    torch.manual_seed(0)
    embedding, hidden, memory = sizes
    dropouts = Seq2SeqDropouts(layer=options.pop("dropout", 0.0))
    options |= {"layer": layer, "attention": attention, "memory_size": memory, "dropouts": dropouts}
    decoder = CLASSES[position](11, embedding, hidden, num_layers, **options)
    for parameter in decoder.parameters():
        nn.init.uniform_(parameter, -0.3, 0.3)
    return decoder


def inputs(decoder: AttentiveDecoder, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Return embedded tokens, a memory, and the tensors of a state."""
    generator = torch.Generator().manual_seed(1)
    size, hidden = decoder.embedding.embedding_dim, (decoder.num_layers, ROWS, decoder.hidden_dim)
    shapes = [(ROWS, STEPS, size), (ROWS, TIME, decoder.memory_size)]
    shapes += [hidden] * decoder.num_states
    if isinstance(decoder, InputFeedingDecoder):
        shapes.append((1, ROWS, decoder.fed_size))
    tensors = (torch.randn(shape, generator=generator) for shape in shapes)
    return [tensor.to(dtype).requires_grad_() for tensor in tensors]


def weights_of(decoder: AttentiveDecoder) -> dict[str, Tensor]:
    """Return the parameters of recurrent layers, attention and, with input feeding, the readout."""
    used = ("recurrent", "attention")
    used += ("readout",) if isinstance(decoder, InputFeedingDecoder) else ()
    return {n: p for n, p in decoder.named_parameters() if n.startswith(used)}


def outputs(decoder: AttentiveDecoder, tensors: list[Tensor], lengths: Tensor | None) -> list:
    """Return output, context, weights and final state."""
    torch.manual_seed(2)
    embedded, memory, *state = tensors
    mask = None if lengths is None else lengths_to_mask(lengths, memory.size(1))
    prepared = decoder.prepare(memory, mask)
    output, context, final, weights = decoder.run_layers(embedded, from_tuple(state), prepared)
    return [output, context, weights, *as_tuple(final)]


def run(
    decoder: AttentiveDecoder,
    tensors: list[Tensor],
    lengths: Tensor | None = LENGTHS,
    read: slice = slice(None),
) -> list[Tensor | None]:
    """Return all results, and the gradients of a weighted sum of those that are read."""
    values = outputs(decoder, tensors, lengths)
    factors = [torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y) for y in values]
    total = sum((y * w).sum() for y, w in zip(values[read], factors[read], strict=True))
    leaves = [*tensors, *weights_of(decoder).values()]
    return [*values, *torch.autograd.grad(total, leaves, allow_unused=True)]


def assert_equal_to_plain(decoder: AttentiveDecoder, *arguments: Any) -> None:
    tensors = inputs(decoder, decoder.fc.weight.dtype)
    with counted() as calls:
        results = run(decoder, tensors, *arguments)
    assert calls, "the compiled kernel was not used"
    with disabled():
        expected = run(decoder, tensors, *arguments)
    for result, other in zip(results, expected, strict=True):
        if other is None:  # plain PyTorch knows that there is no gradient
            assert result is None or not result.any()
        else:
            tolerance = TOLERANCES[other.dtype]
            largest = max(1.0, float(other.detach().abs().max()))
            torch.testing.assert_close(result, other, rtol=tolerance, atol=tolerance * largest)


class counted:
    """Count the runs of compiled kernels within a block."""

    def __enter__(self) -> list[None]:
        self.patch, calls = pytest.MonkeyPatch(), []
        loop = native.DecoderLoop.__call__
        self.patch.setattr(
            native.DecoderLoop, "__call__", lambda *args: calls.append(None) or loop(*args)
        )
        return calls

    def __exit__(self, *_: object) -> None:
        self.patch.undo()


@every_position
@every_layer
@every_score
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("lengths", [LENGTHS, None], ids=["padded", "full"])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (5, 6, 8), (33, 16, 37), (16, 65, 64)], ids=str)
def test_values_and_gradients_equal_plain_pytorch(
    position, layer, attention, dtype, lengths, num_layers, sizes
):
    decoder = build(position, layer, attention, sizes, num_layers).to(dtype)
    assert_equal_to_plain(decoder, lengths)


@every_position
@every_layer
@pytest.mark.parametrize("part", range(4), ids=["output", "context", "weights", "state"])
def test_gradients_of_single_results_equal_plain_pytorch(position, layer, part):
    assert_equal_to_plain(build(position, layer), LENGTHS, slice(part, part + 1))


@every_position
@every_layer
def test_training_draws_the_dropout_masks_of_plain_pytorch(position, layer):
    decoder = build(position, layer, num_layers=3, dropout=0.5)
    assert_equal_to_plain(decoder)
    tensors = inputs(decoder)
    trained, evaluated = run(decoder, tensors)[0], run(decoder.eval(), tensors)[0]
    assert not torch.equal(trained, evaluated)
    assert_equal_to_plain(decoder)


@every_position
@every_layer
@every_score
def test_rows_have_the_same_bits_alone_and_in_a_batch_and_with_padding(
    position, layer, attention, monkeypatch
):
    # The projections of embeddings and memory are products of PyTorch, whose order may depend on
    # the number of rows.
    def projected(x, w, b=0):
        return ((x.unsqueeze(-2) * w).sum(-1) + b).contiguous()

    monkeypatch.setattr(native, "linear_nograd", projected)
    decoder = build(position, layer, attention, (37, 50, 40))
    tensors = inputs(decoder)

    keys = projected(tensors[1], decoder.attention.key.weight).detach()
    by_row, by_layer = alone_or_together(decoder, [tensors[0], tensors[1], keys], tensors[2:])
    for row, length in enumerate(LENGTHS.tolist()):
        single = slice(row, row + 1)
        source = [part[single, :length] for part in (tensors[1], keys)]
        state = [part[:, single] for part in tensors[2:]]
        alone = alone_or_together(decoder, [tensors[0][single], *source], state, padded=False)
        for a, b in zip(by_row, alone[0], strict=True):
            expected = torch.zeros_like(a[row])  # on padding
            expected[tuple(slice(size) for size in b.shape[1:])] = b[0]
            assert torch.equal(a[row], expected)
        for a, b in zip(by_layer, alone[1], strict=True):
            assert torch.equal(a[:, row], b[:, 0])


def alone_or_together(
    decoder: AttentiveDecoder, sequences: list[Tensor], state: list[Tensor], padded: bool = True
) -> tuple[list[Tensor], list[Tensor]]:
    """Return results and gradients of sequences, and those of states, which have rows second."""
    leaves = [t.detach().clone().requires_grad_() for t in (*sequences, *state)]
    embedded, memory, keys, *state = leaves
    prepared = Memory(memory, keys, lengths_to_mask(LENGTHS, TIME) if padded else None)
    output, context, final, weights = decoder.run_layers(embedded, from_tuple(state), prepared)
    loss = output.square().sum() + context.sum() + as_tuple(final)[0].sum()
    gradients = torch.autograd.grad(loss, leaves)
    return [output, context, weights, *gradients[:3]], [*as_tuple(final), *gradients[3:]]


@every_position
@every_layer
@every_score
def test_results_are_the_same_bits_with_any_number_of_threads(
    position, layer, attention, monkeypatch
):
    decoder = build(position, layer, attention, (37, 50, 40))
    tensors = inputs(decoder)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    expected = run(decoder, tensors)
    for threads in (2, 3, 16):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=threads: n)
        for a, b in zip(run(decoder, tensors), expected, strict=True):
            assert torch.equal(a, b)


@every_position
@every_layer
@every_score
def test_gradients_equal_finite_differences(position, layer, attention):
    decoder = build(position, layer, attention).double()
    tensors, weights = inputs(decoder, torch.float64), weights_of(decoder)

    def function(*values: Tensor) -> tuple[Tensor, ...]:
        parameters = dict(zip(weights, values[len(tensors) :], strict=True))
        given = list(values[: len(tensors)])
        call = torch.func.functional_call
        return tuple(call(_Module(decoder), _prefixed(parameters), (given, LENGTHS)))

    leaves = (*tensors, *weights.values())
    with counted() as calls:
        assert torch.autograd.gradcheck(function, leaves, fast_mode=True)
    assert calls


class _Module(nn.Module):
    """A module whose result are the outputs of a decoder."""

    def __init__(self, decoder: AttentiveDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, tensors: list[Tensor], lengths: Tensor) -> list[Tensor]:
        return outputs(self.decoder, tensors, lengths)


def _prefixed(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"decoder.{name}": value for name, value in parameters.items()}


@every_position
@every_layer
def test_a_second_backward_pass_gives_the_same_gradients(position, layer):
    decoder = build(position, layer, dropout=0.5)
    tensors = inputs(decoder)
    loss = sum(y.square().sum() for y in outputs(decoder, tensors, LENGTHS))
    leaves = [*tensors, *weights_of(decoder).values()]
    first = torch.autograd.grad(loss, leaves, retain_graph=True)
    for _ in range(2):
        again = torch.autograd.grad(loss, leaves, retain_graph=True)
        assert all(torch.equal(a, b) for a, b in zip(again, first, strict=True))


@every_position
def test_second_derivatives_are_refused(position):
    decoder = build(position)
    output, *_ = outputs(decoder, inputs(decoder), LENGTHS)
    with pytest.raises(RuntimeError, match="_DecoderLoopBackward has no second derivative"):
        output.sum().backward(create_graph=True)


@every_position
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e4], ids=str)
def test_padding_of_the_memory_is_never_read(position, value):
    decoder = build(position)
    tensors = inputs(decoder)
    expected = run(decoder, tensors)
    padding = ~lengths_to_mask(LENGTHS, TIME).unsqueeze(-1)
    tensors[1] = tensors[1].detach().masked_fill(padding, value).requires_grad_()
    results = run(decoder, tensors)
    finite = [i for i, y in enumerate(expected) if y.shape != decoder.attention.key.weight.shape]
    for index in finite:  # the product of keys with padding that is not finite is not ours
        torch.testing.assert_close(results[index], expected[index], rtol=0, atol=0)


@every_position
@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("index", range(4), ids=["embedded", "memory", "h", "c"])
def test_tensors_that_do_not_fit_raise_the_error_of_plain_pytorch(position, index, axis):
    decoder = build(position)
    tensors = inputs(decoder)
    tensors[index] = tensors[index].narrow(axis, 0, tensors[index].size(axis) - 1)
    if (index, axis) == (0, 1):
        assert outputs(decoder, tensors, None)[0].shape == (ROWS, STEPS - 1, decoder.hidden_dim)
    elif (index, axis) == (1, 1):
        assert outputs(decoder, tensors, None)[2].shape == (ROWS, STEPS, TIME - 1)
    else:
        with pytest.raises((RuntimeError, ValueError)):
            outputs(decoder, tensors, None)


@every_position
def test_large_scores_give_the_weights_of_plain_pytorch(position):
    decoder = build(position, attention="general")
    decoder.attention.key.weight.data.mul_(1e3)
    assert_equal_to_plain(decoder.double())


@every_position
def test_a_score_that_is_not_a_number_makes_the_results_not_numbers(position):
    decoder = build(position)
    tensors = inputs(decoder)
    tensors[1].data[1, 2] = torch.nan
    output, _, weights, *_ = outputs(decoder, tensors, LENGTHS)
    assert weights[1, 0].isnan().all()
    assert output[[0, 2, 3, 4, 5]].isfinite().all()


@every_position
def test_without_gradients_only_the_output_of_the_states_is_kept(position, monkeypatch):
    kept, start = [], native._Run.start.__func__
    monkeypatch.setattr(
        native._Run,
        "start",
        classmethod(lambda cls, *args: kept.append(run := start(cls, *args)) or run),
    )
    decoder = build(position)
    tensors = inputs(decoder)
    expected = outputs(decoder, tensors, LENGTHS)
    with torch.inference_mode():
        torch.testing.assert_close(outputs(decoder, tensors, LENGTHS), expected, rtol=0, atol=0)
    sizes = [[part.numel() > 0 for parts in run.states for part in parts] for run in kept]
    assert sizes == [[True] * 4, [False, True, False, False]]
