"""Compiled scans equal plain PyTorch for every option, and give the same bits in any batch."""

from dataclasses import dataclass

import pytest
import torch
from native_inputs import sequences
from torch import Tensor, nn

from rnn_lab.nn import LAYERS
from rnn_lab.nn.functional.padding import PaddingInfo
from rnn_lab.nn.functional.state import as_tuple
from rnn_lab.nn.native.library import disabled
from rnn_lab.nn.native.recurrence import supports
from rnn_lab.nn.native.scan import Scan

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("compiled")]
TIME, LENGTHS = 9, torch.tensor([4, 9, 1, 7, 9, 2])
NAMES = ("MinGRU", "MinLSTM", "QRNN", "RGLRU", "IndRNN", "SRU", "LRU")
every_layer = pytest.mark.parametrize("name", NAMES)


@dataclass(frozen=True)
class Kernel:
    """Sizes of a kernel's tensors, in units, and what it reads and writes."""

    inputs: int
    weights: int = 0
    has_output: bool = False
    reads_x: bool = False


KERNELS = {
    "min_gru": Kernel(2),
    "min_lstm": Kernel(3),
    "qrnn": Kernel(3, has_output=True),
    "rg_lru": Kernel(2, 1, reads_x=True),
    "projected_rg_lru": Kernel(3, 1),
    "indrnn": Kernel(1, 1),
    "sru": Kernel(3, 2, has_output=True, reads_x=True),
    "projected_sru": Kernel(4, 2, has_output=True),
    "lru": Kernel(1, 2),
}


def build(name: str, inputs: int = 5, units: int = 6, **options) -> nn.Module:
    torch.manual_seed(0)
    layer = LAYERS[name](inputs, units, **options)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -0.3, 0.3)
    return layer


def run(layer: nn.Module, x: Tensor, lengths: Tensor | None = None, state=None) -> list:
    """Return output, final state, and all gradients of a weighted sum of these."""
    torch.manual_seed(2)
    output, final = layer(x, lengths, state)
    values = [output, *as_tuple(final)]
    weights = [torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y) for y in values]
    total = sum((y * w).sum() for y, w in zip(values, weights, strict=True))
    tensors = [x, *layer.parameters(), *(as_tuple(state) if state is not None else ())]
    return [*values, *torch.autograd.grad(total, tensors, allow_unused=True)]


def assert_equal_to_plain(layer: nn.Module, *arguments, rtol: float = 1e-4, atol: float = 1e-4):
    """Compare results; the rounding error of a sum is proportional to its largest terms."""
    results = run(layer, *arguments)
    with disabled():
        expected = run(layer, *arguments)
    for actual, plain in zip(results, expected, strict=True):
        if plain is None:  # SRU's initial output is not read
            assert actual is None or not actual.any()
        else:
            rounding = 32 * torch.finfo(plain.dtype).eps * float(plain.detach().abs().max())
            torch.testing.assert_close(actual, plain, rtol=rtol, atol=max(atol, rounding))


@every_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("lengths", [LENGTHS, None], ids=["padded", "full"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    ("inputs", "units"), [(1, 1), (5, 6), (33, 16), (33, 33), (64, 65)], ids=str
)
def test_values_and_gradients_equal_plain_pytorch(
    name, dtype, lengths, bidirectional, inputs, units
):
    layer = build(name, inputs, units, num_layers=2, bidirectional=bidirectional).to(dtype)
    size = (4 if bidirectional else 2, len(LENGTHS))
    parts = [torch.rand(*size, *s, dtype=dtype).requires_grad_() for s in layer.state_shapes()]
    state = tuple(parts) if len(parts) > 1 else parts[0]
    exact = {"rtol": 1e-9, "atol": 1e-10} if dtype == torch.float64 else {}
    assert_equal_to_plain(layer, sequences(inputs, dtype), lengths, state, **exact)


@every_layer
@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.5},
        {"weight_drop": 0.5},
        {"zoneout": 0.3},
        {"trainable_initial_state": True},
    ],
    ids=lambda options: " ".join(options),
)
def test_training_draws_the_same_random_numbers_as_plain_pytorch(name, options):
    layer = build(name, num_layers=2, **options)
    assert_equal_to_plain(layer, sequences(), LENGTHS)
    assert_equal_to_plain(layer.eval(), sequences(), None)


@pytest.mark.parametrize("options", [{"window": 1}, {"window": 2}], ids=str)
def test_a_qrnn_of_any_window_equals_plain_pytorch(options):
    assert_equal_to_plain(build("QRNN", **options), sequences(), LENGTHS)


def test_recurrent_weights_of_an_indrnn_are_clipped_before_the_kernel_reads_them():
    layer = build("IndRNN", max_seq_len=20)
    layer.layers[0].cell.weight_hh.data += 3
    assert_equal_to_plain(layer, sequences(), LENGTHS)


def test_gates_of_a_min_lstm_are_exact_where_exponentials_overflow():
    for scale in (30, 300):
        assert_equal_to_plain(build("MinLSTM").double(), scale * sequences(5, torch.double))
        values = run(build("MinLSTM"), scale * sequences())
        with disabled():
            expected = run(build("MinLSTM"), scale * sequences())
        torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-4)


def test_an_rg_lru_is_exact_where_almost_nothing_decays():
    layer, x = build("RGLRU").double(), sequences()
    core = layer.layers[0]
    core.decay.data += 12
    exact = layer(x.double())[0]
    compiled = layer.float()(x)[0]
    with disabled():
        plain = layer(x)[0]
    error = (compiled - exact).abs().max()
    assert error < 3 * (plain - exact).abs().max() + 1e-9
    assert error / exact.abs().max() < 1e-5


@every_layer
def test_invalid_numbers_stay_invalid(name):
    x = sequences().detach()
    x[1, 3] = torch.nan
    output = build(name)(x)[0]
    assert output[1, 3:].isnan().all()
    assert output[1, :3].isfinite().all()
    assert output[[0, 2]].isfinite().all()


def kernel_results(name: str, rows: slice, lengths: Tensor | None, units: int = 37) -> list[Tensor]:
    """Return output, final state and the gradients of what each sequence has of its own."""
    kernel, generator = KERNELS[name], torch.Generator().manual_seed(0)
    size, features = kernel.inputs * units, units if kernel.reads_x else 20
    x, grads = torch.randn(TIME, 6, features + units, generator=generator)[:, rows].split(
        [features, units], 2
    )
    first, grad_last = torch.randn(2, 6, units, generator=generator)[:, rows]
    first_step = torch.randn(6, size, generator=generator)[rows]
    own = [x.contiguous(), first.contiguous(), first_step.contiguous()]
    for tensor in own:
        tensor.requires_grad_()
    weight, bias = torch.randn(size, features + 1, generator=generator).split([features, 1], 1)
    unit_weights = -torch.rand(kernel.weights * units, generator=generator)
    padding = None if lengths is None else PaddingInfo(lengths[rows], TIME, torch.device("cpu"))
    scan = Scan(name, padding, kernel.has_output, kernel.reads_x)
    others = weight.contiguous(), bias.flatten(), unit_weights if kernel.weights else None
    results = scan(*own[:2], *others, own[2])
    gradients = torch.autograd.grad(results, own, [grads, grad_last])
    by_step = (part.transpose(0, 1) for part in (results[0], gradients[0]))
    return [*by_step, results[1], *gradients[1:]]


@pytest.fixture
def restored_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("restored_threads")
@pytest.mark.parametrize("kernel", list(KERNELS))
@pytest.mark.parametrize("lengths", [LENGTHS, None], ids=["padded", "full"])
def test_sequences_have_the_same_bits_alone_and_in_any_number_of_threads(kernel, lengths):
    torch.set_num_threads(1)
    expected = kernel_results(kernel, slice(None), lengths)
    for row in range(6):
        alone = kernel_results(kernel, slice(row, row + 1), lengths)
        count = TIME if lengths is None else int(lengths[row])
        for a, b in zip(alone, expected, strict=True):
            a, b = a[0], b[row]
            assert torch.equal(a[:count], b[:count]) if len(b) == TIME else torch.equal(a, b)
    for threads in (2, 3, 16):
        torch.set_num_threads(threads)
        results = kernel_results(kernel, slice(None), lengths)
        assert all(torch.equal(a, b) for a, b in zip(results, expected, strict=True))


@every_layer
@pytest.mark.usefixtures("restored_threads")
def test_gradients_have_the_same_bits_with_any_number_of_threads(name, monkeypatch):
    layer, x = build(name, 37, 50), sequences(37)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    expected = run(layer, x, LENGTHS)
    for threads in (2, 16):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=threads: n)
        for a, b in zip(run(layer, x, LENGTHS), expected, strict=True):
            assert a is b is None or torch.equal(a, b)


@every_layer
def test_a_second_backward_pass_gives_the_same_gradients(name):
    layer, x = build(name), sequences()
    output, _ = layer(x, LENGTHS)
    loss, tensors = (output * output).sum(), [x, *layer.parameters()]
    first = torch.autograd.grad(loss, tensors, retain_graph=True)
    for _ in range(2):
        again = torch.autograd.grad(loss, tensors, retain_graph=True)
        assert all(torch.equal(a, b) for a, b in zip(again, first, strict=True))
    with pytest.raises(RuntimeError, match="_CompiledScanBackward has no second derivative"):
        torch.autograd.grad(loss, tensors, create_graph=True)


@every_layer
def test_parts_of_the_result_that_are_not_used_have_no_gradient(name):
    layer, x = build(name), sequences()
    for part in range(2):
        values = []
        for plain in (False, True):
            value = as_tuple(layer(x, LENGTHS)[part])[-1 if name != "QRNN" else 0].sum()
            values.append(torch.autograd.grad(value, x)[0])
            if not plain:
                context = disabled()
                context.__enter__()
        context.__exit__(None, None, None)
        torch.testing.assert_close(*values)


@every_layer
@pytest.mark.parametrize("lengths", [LENGTHS, None], ids=["padded", "full"])
def test_padding_is_never_read_and_outputs_have_the_memory_order_of_plain_pytorch(name, lengths):
    layer, x = build(name, num_layers=2), sequences().detach()
    expected = layer(x, lengths)[0]
    if lengths is not None:
        x[torch.arange(TIME) >= lengths.unsqueeze(1)] = torch.nan
    output = layer(x.transpose(0, 1).contiguous().transpose(0, 1), lengths)[0]
    torch.testing.assert_close(output, expected)
    with disabled():
        assert layer(x, lengths)[0].stride() == output.stride()


def test_what_the_kernels_do_not_support_is_computed_by_pytorch():
    layer, x = build("MinGRU"), sequences().detach()
    assert supports("min_gru", x)
    with torch.autocast("cpu", torch.bfloat16):
        assert not supports("min_gru", x)
        assert layer(x)[0].dtype == torch.float32
