"""The base class of translators."""

import pytest
import torch

from rnn_lab.errors import UserError
from rnn_lab.models import Seq2SeqTranslator
from rnn_lab.tasks.translation.base import BaseTranslator


def test_the_base_class_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        BaseTranslator(9, 9)


def test_a_subclass_needs_only_class_attributes():
    class GRUTranslator(BaseTranslator):
        """A translator on GRUs."""

        layer = "GRU"

    model = GRUTranslator(9, 9, 4, 6)
    assert model.net.decoder.layer_class.__name__ == "GRU"
    assert type(model.net.encoder.recurrent).__name__ == "GRU"


def test_a_translation_is_at_most_twice_as_long_as_its_source_plus_twenty():
    torch.manual_seed(0)
    model = Seq2SeqTranslator(9, 9, 4, 6).eval()
    with torch.no_grad():
        model.net.decoder.fc.bias[3] = -100  # never the end token
    lengths = torch.tensor([3, 1])
    decoded = model.decode(torch.full((2, 3), 5), lengths)
    assert [len(best.tokens) for best, *_ in decoded] == [26, 22]


def test_a_coverage_penalty_without_attention_is_refused():
    with pytest.raises(UserError, match="coverage_penalty needs attention"):
        Seq2SeqTranslator(9, 9, 4, 6, search={"coverage_penalty": 0.2})
