"""The cross-entropy that holds no scores gives what torch's own gives."""

import pytest
import torch
from torch.nn import functional

from rnn_lab.nn import linear_cross_entropy
from rnn_lab.nn.functional import cross_entropy as losses

ROWS, STEPS, FEATURES, VOCAB = 3, 5, 4, 11


def parts():
    torch.manual_seed(0)
    features = torch.randn(ROWS, STEPS, FEATURES, requires_grad=True)
    weight, bias = torch.randn(VOCAB, FEATURES), torch.randn(VOCAB)
    targets = torch.randint(0, VOCAB, (ROWS, STEPS))
    targets[1, 3:] = targets[2, 1:] = 0
    return features, weight.requires_grad_(), bias.requires_grad_(), targets


def torchs_own(features, weight, bias, targets, smoothing):
    scores = functional.linear(features, weight, bias).flatten(0, 1)
    return functional.cross_entropy(
        scores, targets.flatten(), ignore_index=0, label_smoothing=smoothing
    )


@pytest.mark.parametrize("at_once", [1, VOCAB, 3 * VOCAB, 1 << 20])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradients_are_torchs_own(smoothing, at_once, monkeypatch):
    monkeypatch.setitem(losses.CHUNK_LOGITS, "cpu", at_once)
    *ours, targets = parts()
    *theirs, _ = parts()
    loss = linear_cross_entropy(*ours, targets, ignore_index=0, label_smoothing=smoothing)
    expected = torchs_own(*theirs, targets, smoothing)
    torch.testing.assert_close(loss, expected)
    (3 * loss).backward()
    (3 * expected).backward()
    for mine, own in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, own.grad)


def test_what_the_padding_is_scored_from_gets_no_gradient():
    features, weight, bias, targets = parts()
    linear_cross_entropy(features, weight, bias, targets, ignore_index=0).backward()
    assert (features.grad[targets == 0] == 0).all()
    assert (features.grad[targets != 0] != 0).all()


def test_scores_far_from_zero_do_not_overflow():
    features, weight, bias, targets = parts()
    loss = linear_cross_entropy(features, weight * 1e4, bias, targets, ignore_index=0)
    torch.testing.assert_close(loss, torchs_own(features, weight * 1e4, bias, targets, 0.0))


def test_bfloat16_autocast_gives_nearly_the_same_gradients_in_full_precision():
    *rough, targets = parts()
    *exact, _ = parts()
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(*rough, targets, ignore_index=0, label_smoothing=0.1)
    loss.backward()
    linear_cross_entropy(*exact, targets, ignore_index=0, label_smoothing=0.1).backward()
    assert loss.dtype == torch.float32
    for mine, own in zip(rough, exact, strict=True):
        assert mine.grad.dtype == torch.float32
        torch.testing.assert_close(mine.grad, own.grad, atol=0.02, rtol=0.05)


def test_without_gradients_none_are_made():
    *ours, targets = parts()
    with torch.no_grad():
        loss = linear_cross_entropy(*ours, targets, ignore_index=0)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, torchs_own(*ours, targets, 0.0).detach())
