import pytest
import torch
from torchmetrics import MetricCollection

from rnn_lab.tasks.regression.metrics import regression_metrics


def measured(*batches):
    metrics = MetricCollection(regression_metrics())
    for told, wanted in batches:
        metrics.update(told, wanted)
    return {name: float(value) for name, value in metrics.compute().items()}


def drawn(rows, outputs):
    torch.manual_seed(0)
    wanted = torch.randn(rows, outputs)
    return wanted + 0.3 * torch.randn(rows, outputs), wanted


@pytest.mark.parametrize("outputs", [1, 3])
def test_metrics_are_those_of_the_definitions_over_all_batches(outputs):
    told, wanted = drawn(11, outputs)
    found = measured((told[:4], wanted[:4]), (told[4:5], wanted[4:5]), (told[5:], wanted[5:]))
    error = told - wanted
    deviation = (wanted - wanted.mean(0)).square().sum(0)
    assert found["mse"] == pytest.approx(float(error.square().mean()))
    assert found["mae"] == pytest.approx(float(error.abs().mean()))
    assert found["r2"] == pytest.approx(float((1 - error.square().sum(0) / deviation).mean()))


def test_always_saying_the_mean_determines_nothing():
    _, wanted = drawn(9, 1)
    found = measured((wanted.mean(0).expand_as(wanted), wanted))
    assert found["r2"] == pytest.approx(0, abs=1e-6)


def test_one_row_has_errors_but_no_determination():
    found = measured((torch.tensor([[2.0]]), torch.tensor([[3.0]])))
    assert (found["mse"], found["mae"]) == (1, 1)
    assert found["r2"] != found["r2"]
