"""The chunked cross-entropy equals torch's cross-entropy."""

import pytest
import torch
from torch.nn import functional

from rnn_lab.nn import linear_cross_entropy
from rnn_lab.nn.functional import cross_entropy as module

ROWS, STEPS, FEATURES, VOCAB = 3, 5, 4, 11


def inputs():
    torch.manual_seed(0)
    features = torch.randn(ROWS, STEPS, FEATURES, requires_grad=True)
    weight, bias = torch.randn(VOCAB, FEATURES), torch.randn(VOCAB)
    targets = torch.randint(0, VOCAB, (ROWS, STEPS))
    targets[1, 3:] = targets[2, 1:] = 0
    return features, weight.requires_grad_(), bias.requires_grad_(), targets


def reference(features, weight, bias, targets, smoothing):
    logits = functional.linear(features, weight, bias).flatten(0, 1)
    return functional.cross_entropy(
        logits, targets.flatten(), ignore_index=0, label_smoothing=smoothing
    )


@pytest.mark.parametrize("chunk_logits", [1, VOCAB, 3 * VOCAB, 1 << 20])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradients_equal_those_of_torch(smoothing, chunk_logits, monkeypatch):
    monkeypatch.setitem(module.CHUNK_LOGITS, "cpu", chunk_logits)
    monkeypatch.setattr(module, "MIN_ROWS", 1)
    *ours, targets = inputs()
    *theirs, _ = inputs()
    loss = linear_cross_entropy(*ours, targets, ignore_index=0, label_smoothing=smoothing)
    expected = reference(*theirs, targets, smoothing)
    torch.testing.assert_close(loss, expected)
    (3 * loss).backward()
    (3 * expected).backward()
    for tensor, torch_tensor in zip(ours, theirs, strict=True):
        torch.testing.assert_close(tensor.grad, torch_tensor.grad)


def test_losses_of_targets_are_those_of_torch_and_leave_mean_and_gradient_alone():
    *ours, targets = inputs()
    losses = torch.full(targets.shape, 7.0)
    loss = linear_cross_entropy(*ours, targets, ignore_index=0, losses=losses)
    logits = functional.linear(*ours).flatten(0, 1)
    each = functional.cross_entropy(logits, targets.flatten(), ignore_index=0, reduction="none")
    torch.testing.assert_close(losses, each.detach().view_as(targets))
    assert not losses.requires_grad
    loss.backward()
    *others, _ = inputs()
    linear_cross_entropy(*others, targets, ignore_index=0).backward()
    for tensor, other in zip(ours, others, strict=True):
        assert torch.equal(tensor.grad, other.grad)


def test_the_gradients_do_not_depend_on_the_size_of_chunks(monkeypatch):
    gradients = []
    for rows in (1, 4, module.MIN_ROWS):
        monkeypatch.setitem(module.CHUNK_LOGITS, "cpu", 1)
        monkeypatch.setattr(module, "MIN_ROWS", rows)
        *ours, targets = inputs()
        linear_cross_entropy(*ours, targets, ignore_index=0).backward()
        gradients.append([tensor.grad for tensor in ours])
    for others in gradients[1:]:
        torch.testing.assert_close(others, gradients[0])


def test_the_weight_is_reordered_once_for_all_chunks(monkeypatch):
    sizes = []
    prepacked = module.prepacked_linear
    monkeypatch.setattr(module, "MIN_ROWS", 2)
    monkeypatch.setitem(module.CHUNK_LOGITS, "cpu", 1)
    monkeypatch.setattr(
        module, "prepacked_linear", lambda *args: sizes.append(args[1]) or prepacked(*args)
    )
    *ours, targets = inputs()
    linear_cross_entropy(*ours, targets, ignore_index=0)
    assert sizes == [2]


def test_ignored_targets_give_no_gradient():
    features, weight, bias, targets = inputs()
    linear_cross_entropy(features, weight, bias, targets, ignore_index=0).backward()
    assert (features.grad[targets == 0] == 0).all()
    assert (features.grad[targets != 0] != 0).all()


def test_large_logits_do_not_overflow():
    features, weight, bias, targets = inputs()
    loss = linear_cross_entropy(features, weight * 1e4, bias, targets, ignore_index=0)
    torch.testing.assert_close(loss, reference(features, weight * 1e4, bias, targets, 0.0))


def test_bfloat16_autocast_gives_similar_gradients_in_single_precision():
    *low_precision, targets = inputs()
    *exact, _ = inputs()
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(*low_precision, targets, ignore_index=0, label_smoothing=0.1)
    loss.backward()
    linear_cross_entropy(*exact, targets, ignore_index=0, label_smoothing=0.1).backward()
    assert loss.dtype == torch.float32
    for mine, own in zip(low_precision, exact, strict=True):
        assert mine.grad.dtype == torch.float32
        torch.testing.assert_close(mine.grad, own.grad, atol=0.02, rtol=0.05)


def test_ignored_rows_count_nothing_where_they_are_not_removed():
    features, weight, bias, targets = inputs()
    rows, flat = features.flatten(0, 1), targets.flatten()
    ignored = (flat == 0).unsqueeze(1)
    losses = torch.full(flat.shape, 7.0)
    total = module._SummedCrossEntropy.apply(rows, weight, bias, flat, ignored, 0.1, losses)
    torch.testing.assert_close(losses.sum(), total.detach())
    assert not losses[flat == 0].any()
    total.backward()
    *theirs, _ = inputs()
    expected = reference(*theirs, targets, 0.1) * (flat != 0).sum()
    expected.backward()
    torch.testing.assert_close(total, expected)
    for tensor, torch_tensor in zip((features, weight, bias), theirs, strict=True):
        torch.testing.assert_close(tensor.grad, torch_tensor.grad)
    assert not features.grad[targets == 0].any()


def test_double_precision_is_exact():
    *ours, targets = (x.detach().double() if x.is_floating_point() else x for x in inputs())
    *theirs, _ = (x.clone() for x in (*ours, targets))
    for tensor in (*ours, *theirs):
        tensor.requires_grad_()
    loss = linear_cross_entropy(*ours, targets, ignore_index=0, label_smoothing=0.1)
    expected = reference(*theirs, targets, 0.1)
    assert loss.dtype == torch.float64
    torch.testing.assert_close(loss, expected, rtol=1e-14, atol=0)
    loss.backward()
    expected.backward()
    for tensor, torch_tensor in zip(ours, theirs, strict=True):
        torch.testing.assert_close(tensor.grad, torch_tensor.grad, rtol=1e-13, atol=1e-15)


def test_the_meta_device_gives_the_shapes():
    features, weight, bias, targets = (x.detach().to("meta") for x in inputs())
    weight.requires_grad_()
    loss = linear_cross_entropy(features, weight, bias, targets, ignore_index=0)
    loss.backward()
    assert loss.shape == ()
    assert weight.grad.shape == weight.shape


def test_without_gradients_the_loss_is_the_same():
    *ours, targets = inputs()
    with torch.no_grad():
        loss = linear_cross_entropy(*ours, targets, ignore_index=0)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, reference(*ours, targets, 0.0).detach())
