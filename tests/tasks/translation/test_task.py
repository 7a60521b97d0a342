"""What all translators share."""

import pytest
import torch

from rnn_lab.errors import UserError
from rnn_lab.models import Seq2SeqTranslator, TransformerTranslator
from rnn_lab.tasks.translation.task import TranslationTask


def test_a_translator_builds_a_network_of_its_own():
    with pytest.raises(TypeError, match=r"abstract method '?_build"):
        TranslationTask()


def test_different_kinds_of_translators_decode_together():
    torch.manual_seed(0)
    model, other = Seq2SeqTranslator(9, 9, 4, 6).eval(), TransformerTranslator(9, 9, 8, 1).eval()
    src, lengths = torch.tensor([[5, 6, 3], [7, 3, 0]]), torch.tensor([3, 2])
    model.ensemble = [other]
    together = model.decode(src, lengths)
    model.ensemble, other.ensemble = [], [model]
    again = other.decode(src, lengths)
    for (first, *_), (second, *_) in zip(together, again, strict=True):
        assert first.tokens == second.tokens
        assert first.score == pytest.approx(second.score, rel=1e-4)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_label_smoothing_is_a_probability(smoothing):
    with pytest.raises(UserError, match="label_smoothing must be at least 0 and below 1"):
        TransformerTranslator(9, 9, 8, 1, label_smoothing=smoothing)
