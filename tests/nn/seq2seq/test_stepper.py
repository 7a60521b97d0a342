"""A loop over single steps equals torch's layers, gradients included."""

import pytest
import torch

from rnn_lab.nn.functional.state import stack_state, unstack_state
from rnn_lab.nn.seq2seq.decoders import DECODER_LAYERS
from rnn_lab.nn.seq2seq.stepper import Stepper


def run_stepwise(net, x, known):
    """Run a layer in a loop in which only the first features are known beforehand."""
    stepper = Stepper(net, x[..., :known])
    zeros = x.new_zeros(net.num_layers, len(x), net.hidden_size)
    parts = unstack_state((zeros, zeros) if net.mode == "LSTM" else zeros)
    outputs = []
    for t, new in enumerate(x[..., known:].unbind(1)):
        output, parts = stepper.step(t, new, parts)
        outputs.append(output)
    return torch.stack(outputs, 1), stack_state(parts)


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", sorted(DECODER_LAYERS))
def test_single_steps_have_the_outputs_and_gradients_of_the_layer(name, layers, steps):
    torch.manual_seed(0)
    net = DECODER_LAYERS[name](5, 4, layers).double()
    x = torch.randn(3, steps, 5, dtype=torch.double, requires_grad=True)
    output_weights = torch.randn(3, steps, 4, dtype=torch.double)
    results = []
    for output, state in (net(x), run_stepwise(net, x, known=2)):
        last = state if isinstance(state, tuple) else (state,)
        loss = (output * output_weights).sum() + sum(part.square().sum() for part in last)
        results.append((output, *last, *torch.autograd.grad(loss, [x, *net.parameters()])))
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("name", sorted(DECODER_LAYERS))
def test_bfloat16_autocast_is_close(name):
    torch.manual_seed(0)
    net, x = DECODER_LAYERS[name](5, 4), torch.randn(3, 6, 5)
    with torch.autocast("cpu", torch.bfloat16):
        autocast, _ = run_stepwise(net, x, known=2)
        autocast.float().sum().backward()
    torch.testing.assert_close(autocast.float(), net(x)[0], atol=0.05, rtol=0.05)
