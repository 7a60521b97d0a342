"""Loss and checks that all text classifiers share."""

from types import SimpleNamespace

import pytest
import torch

from rnn_lab.errors import UserError
from rnn_lab.models import BagOfNgramsClassifier, TextClassifier, TransformerClassifier
from rnn_lab.tasks.text_classification.batch import TextBatch
from rnn_lab.tasks.text_classification.options import TextLossConfig

VOCABULARY = 30
every_configurable = pytest.mark.parametrize(
    "cls", [TextClassifier, TransformerClassifier, BagOfNgramsClassifier]
)


@every_configurable
def test_class_weights_in_the_loss_may_be_those_of_the_data(cls):
    model = cls(VOCABULARY, num_classes=2, loss=TextLossConfig(class_weights="balanced"))
    data = SimpleNamespace(class_counts=[10, 30], num_classes=2)
    strategy = SimpleNamespace(precision_plugin=None)
    model.trainer = SimpleNamespace(datamodule=data, strategy=strategy)
    model.setup("test")
    torch.testing.assert_close(model.class_weights, torch.tensor([2.0, 2 / 3]))
    data.class_counts = [10, 0]
    with pytest.raises(UserError, match=r"examples of each class, got counts \[10, 0\]"):
        model.setup("test")


@every_configurable
@pytest.mark.parametrize(
    ("multi_label", "message"),
    [
        (False, "predicts one label per text, .* has several: use .* --model.loss.multi_label"),
        (True, "has one label per text: remove --model.loss.multi_label"),
    ],
)
def test_model_and_data_agree_on_the_number_of_labels_per_text(cls, multi_label, message):
    model = cls(VOCABULARY, loss=TextLossConfig(multi_label=multi_label))
    with pytest.raises(UserError, match=message):
        model.check_data(SimpleNamespace(multi_label=not multi_label, num_classes=2))


@every_configurable
def test_a_text_may_have_several_labels(cls):
    model = cls(VOCABULARY, num_classes=3, loss={"multi_label": True}).eval()
    labels = torch.tensor([[1.0, 0, 1], [0, 0, 0]])
    batch = TextBatch(torch.tensor([[4, 5], [6, 0]]), labels, torch.tensor([2, 1]))
    output = model.step(batch)
    torch.testing.assert_close(output.predictions, model.logits(*batch[::2]).sigmoid())
    torch.testing.assert_close(
        output.loss,
        torch.nn.functional.binary_cross_entropy(output.predictions, labels),
    )


@every_configurable
def test_word_vectors_are_loaded_or_refused(cls):
    model = cls(VOCABULARY)
    data = SimpleNamespace(vectors="vectors.txt", word_vectors=read_vectors)
    strategy = SimpleNamespace(precision_plugin=None)
    model.trainer = SimpleNamespace(datamodule=data, strategy=strategy)
    if model.word_embedding is None:
        with pytest.raises(UserError, match=r"has no word embeddings: remove --data\.vectors"):
            model.setup("fit")
    else:
        model.setup("fit")
        assert (model.word_embedding.weight[[3, 5]] == 7).all()
        assert (model.word_embedding.weight[4] != 7).any()


def read_vectors(size):
    return torch.tensor([3, 5]), torch.full((2, size), 7.0)
