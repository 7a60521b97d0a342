"""Properties of all attention layers."""

import pytest
import torch

from rnn_lab.nn import ATTENTIONS, Attention
from rnn_lab.nn.seq2seq import attention as module

KINDS = sorted(ATTENTIONS)


def build(kind, **options):
    torch.manual_seed(0)
    return ATTENTIONS[kind](6, 5, 4, **options)


def inputs(batch=3, steps=4, time=7):
    torch.manual_seed(1)
    mask = torch.arange(time) < torch.tensor([time, 3, 1][:batch]).unsqueeze(1)
    return torch.randn(batch, steps, 6), torch.randn(batch, time, 5), mask


@pytest.mark.parametrize("kind", KINDS)
def test_weights_sum_to_one_and_are_zero_on_padding(kind):
    query, memory, mask = inputs()
    context, weights = build(kind)(query, memory, mask)
    assert context.shape == (3, 4, 5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 4))
    assert (weights[~mask.unsqueeze(1).expand_as(weights)] == 0).all()
    torch.testing.assert_close(context, weights @ memory)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_does_not_depend_on_the_batch_or_padding(kind):
    attention, (query, memory, mask) = build(kind), inputs()
    together, _ = attention(query, memory, mask)
    for row, length in enumerate(mask.sum(1)):
        alone, _ = attention(query[row : row + 1], memory[row : row + 1, :length])
        torch.testing.assert_close(alone[0], together[row])


@pytest.mark.parametrize("kind", KINDS)
def test_one_call_equals_single_steps(kind):
    attention, (query, memory, mask) = build(kind), inputs()
    prepared = attention.prepare(memory, mask)
    steps = [attention(step.unsqueeze(1), prepared)[0] for step in query.unbind(1)]
    torch.testing.assert_close(torch.cat(steps, 1), attention(query, memory, mask)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_adjacent_rows_share_a_memory(kind):
    attention, (_, memory, mask) = build(kind), inputs()
    beams = torch.randn(6, 1, 6)
    shared = attention(beams, attention.prepare(memory, mask))
    copied = attention(beams, memory.repeat_interleave(2, 0), mask.repeat_interleave(2, 0))
    for actual, expected in zip(shared, copied, strict=True):
        torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_match_finite_differences(kind, monkeypatch):
    monkeypatch.setitem(module.MAX_ELEMENTS, "cpu", 60)  # several chunks
    attention, (query, memory, mask) = build(kind).double(), inputs(steps=2, time=3)
    inputs_ = (query.double().requires_grad_(), memory.double().requires_grad_())
    assert torch.autograd.gradcheck(lambda q, m: attention(q, m, mask), inputs_)
    loss = attention(*inputs_, mask)[0].square().sum()
    expected = torch.autograd.grad(loss, list(attention.parameters()))
    assert all(gradient.abs().sum() > 0 for gradient in expected)


def test_additive_weights_match_the_formula():
    attention, (query, memory, mask) = build("additive"), inputs()
    energy = torch.tanh(attention.query(query).unsqueeze(2) + attention.key(memory).unsqueeze(1))
    scores = attention.v(energy).squeeze(-1).masked_fill(~mask.unsqueeze(1), -torch.inf)
    torch.testing.assert_close(attention(query, memory, mask)[1], scores.softmax(-1))
    gradient = torch.autograd.grad(scores.softmax(-1).square().sum(), attention.v.weight)
    ours = torch.autograd.grad(attention(query, memory, mask)[1].square().sum(), attention.v.weight)
    torch.testing.assert_close(ours, gradient)


def test_attention_computes_the_weights_of_the_textbook():
    """The textbook's linear layer over query and memory corresponds to two of ours."""
    torch.manual_seed(0)
    both, v = torch.nn.Linear(8, 4), torch.nn.Linear(4, 1, bias=False)
    hidden, outputs = torch.randn(3, 4), torch.randn(3, 5, 4)
    repeated = hidden.unsqueeze(1).expand(-1, 5, -1)
    expected = v(torch.tanh(both(torch.cat([repeated, outputs], 2)))).squeeze(2).softmax(1)
    ours = Attention(4)
    ours.load_state_dict(
        {
            "query.weight": both.weight[:, :4],
            "query.bias": both.bias,
            "key.weight": both.weight[:, 4:],
            "v.weight": v.weight,
        }
    )
    torch.testing.assert_close(ours(hidden, outputs), expected)
    mask = torch.tensor([[True, True, False, False, False]]).expand(3, -1)
    torch.testing.assert_close(ours(hidden, outputs, mask)[:, :2], ours(hidden, outputs[:, :2]))


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_autocast_is_close(kind):
    attention, (query, memory, mask) = build(kind), inputs()
    with torch.autocast("cpu", torch.bfloat16):
        autocast, _ = attention(query, memory, mask)
    torch.testing.assert_close(
        autocast.float(), attention(query, memory, mask)[0], atol=0.05, rtol=0.05
    )


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", ATTENTIONS)
def test_second_derivatives_are_right_or_refused(name, steps):
    torch.manual_seed(0)
    attention = ATTENTIONS[name](4, 5, 3).double()
    query = torch.randn(2, steps, 4, dtype=torch.double, requires_grad=True)
    memory = torch.randn(2, 6, 5, dtype=torch.double, requires_grad=True)
    if name == "additive" and steps > 1:
        with pytest.raises(RuntimeError, match="has no second derivative"):
            torch.autograd.grad(attention(query, memory)[0].sum(), query, create_graph=True)
    else:
        assert torch.autograd.gradgradcheck(attention, (query, memory), fast_mode=True)
