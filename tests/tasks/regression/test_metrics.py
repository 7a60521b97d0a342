import pytest
import torch
from torchmetrics import MetricCollection

from rnn_lab.tasks.regression.metrics import regression_metrics


def compute(*batches):
    metrics = MetricCollection(regression_metrics())
    for predictions, targets in batches:
        metrics.update(predictions, targets)
    return {name: float(value) for name, value in metrics.compute().items()}


def sample(rows, outputs):
    torch.manual_seed(0)
    targets = torch.randn(rows, outputs)
    return targets + 0.3 * torch.randn(rows, outputs), targets


@pytest.mark.parametrize("outputs", [1, 3])
def test_metrics_equal_their_definitions_over_all_batches(outputs):
    predictions, targets = sample(11, outputs)
    parts = slice(0, 4), slice(4, 5), slice(5, 11)
    values = compute(*((predictions[part], targets[part]) for part in parts))
    error = predictions - targets
    deviation = (targets - targets.mean(0)).square().sum(0)
    assert values["mse"] == pytest.approx(float(error.square().mean()))
    assert values["mae"] == pytest.approx(float(error.abs().mean()))
    assert values["r2"] == pytest.approx(float((1 - error.square().sum(0) / deviation).mean()))


def test_predicting_the_mean_has_an_r2_of_zero():
    _, targets = sample(9, 1)
    values = compute((targets.mean(0).expand_as(targets), targets))
    assert values["r2"] == pytest.approx(0, abs=1e-6)


def test_one_row_has_errors_and_an_r2_of_nan():
    values = compute((torch.tensor([[2.0]]), torch.tensor([[3.0]])))
    assert (values["mse"], values["mae"]) == (1, 1)
    assert values["r2"] != values["r2"]
