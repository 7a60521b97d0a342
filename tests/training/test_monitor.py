"""Whether lower or higher values of a monitored metric are better."""

import pytest
from lightning import LightningModule

from rnn_lab.errors import UserError
from rnn_lab.models import AttentionTranslator, LSTMClassifier, LSTMForecaster
from rnn_lab.tasks.translation.metrics import TranslationScores
from rnn_lab.training.monitor import mode_of

CLASSIFIER = LSTMClassifier(10, 2)


@pytest.mark.parametrize(
    ("monitor", "expected"),
    [
        ("val/accuracy", "max"),
        ("val/f1", "max"),
        ("val/auroc", "max"),
        ("val/loss", "min"),
        ("train/loss", "min"),
        ("epoch", "max"),
    ],
)
def test_the_mode_follows_from_the_metric(monitor, expected):
    assert mode_of(CLASSIFIER, monitor, None, "mode") == expected


def test_the_metric_that_a_module_declares_has_its_mode():
    forecaster = LSTMForecaster(1)
    assert mode_of(forecaster, forecaster.monitor, None, "mode") == forecaster.mode == "min"
    assert mode_of(forecaster, forecaster.monitor, "max", "mode") == "max"


@pytest.mark.parametrize("name", [*TranslationScores().compute(), "bleu_tokenized", "perplexity"])
def test_the_scores_of_translations_have_a_mode_before_the_data_are_known(name):
    translator = AttentionTranslator(10, 10)
    expected = "min" if name in ("ter", "perplexity") else "max"
    assert mode_of(translator, f"val/{name}", None, "mode") == expected
    with pytest.raises(UserError, match="values of val/rouge are better is unknown"):
        mode_of(translator, "val/rouge", None, "mode")


def test_a_mode_that_is_set_counts():
    assert mode_of(CLASSIFIER, "val/loss", "max", "mode") == "max"
    assert mode_of(LightningModule(), "accuracy", "max", "mode") == "max"


def test_a_plain_module_has_the_mode_of_a_loss_only():
    assert mode_of(LightningModule(), "val_loss", None, "mode") == "min"
    with pytest.raises(UserError, match="values of val_score are better is unknown: set --x"):
        mode_of(LightningModule(), "val_score", None, "--x.mode")


@pytest.mark.parametrize(
    ("monitor", "message"),
    [
        ("f1", "f1 is no name of a metric: give its stage, such as val/f1"),
        ("val/f2", "lower or higher values of val/f2 are better is unknown: set mode to min or"),
        ("val/confusion", "values of val/confusion are better is unknown"),
    ],
)
def test_an_unknown_metric_is_refused(monitor, message):
    with pytest.raises(UserError, match=message):
        mode_of(CLASSIFIER, monitor, None, "mode")
