"""Laws of every model of the library."""

import pytest
import torch
from every_model import batch_of, build_model, data_of, every_model
from lightning.pytorch import Trainer
from transfers import Transfers

from rnn_lab.nn import LAYERS

PRECISIONS = ["bf16-true", "16-true", "64-true", "bf16-mixed"]


@every_model
def test_every_model_runs_on_the_meta_device(name):
    with torch.device("meta"):
        model = build_model(name)
    assert all(tensor.is_meta for tensor in model.state_dict().values())
    loss = model.step(batch_of(model.batch_type).to(torch.device("meta"))).loss
    assert loss.is_meta
    assert loss.shape == ()
    if loss.requires_grad:
        loss.backward()


def run(model, precision):
    """Train two batches, validate and test."""
    logged = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(precision=precision, fast_dev_run=2, accelerator="cpu", **logged)
    data = data_of(model.batch_type)
    trainer.fit(model, data)
    results = trainer.test(model, data, verbose=False)[0]
    assert torch.tensor(results["test/loss"]).isfinite()
    return results


@pytest.mark.slow
@every_model
@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_model_trains_in_every_precision(name, precision):
    torch.manual_seed(0)
    model = build_model(name)
    weights = next(model.parameters()).dtype
    seen = []
    original = model.step
    model.step = lambda batch: seen.append(batch) or original(batch)
    run(model, precision)
    floats = {part.dtype for part in seen[0] if isinstance(part, torch.Tensor)} - {torch.int64}
    assert floats <= {torch.float64 if precision == "64-true" else torch.float32}
    expected = {"bf16-true": torch.bfloat16, "16-true": torch.float16, "64-true": torch.float64}
    assert next(model.parameters()).dtype == expected.get(precision, weights)


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("TextClassifier", {"bidirectional": True, "num_layers": 2, "pooling": "mean+attention"}),
        ("Forecaster", {"decoding": "recursive", "output": "gaussian"}),
        ("LanguageModel", {}),
    ],
    ids=["text", "recursive forecast", "language"],
)
def test_every_layer_trains_with_weights_of_16_bits(layer, precision, name, options):
    torch.manual_seed(0)
    run(build_model(name, layer=layer, **options), precision)


def test_targets_are_not_rounded_by_weights_of_16_bits():
    torch.manual_seed(0)
    results = [run(build_model("LastValueForecaster"), p) for p in ("32-true", "bf16-true")]
    assert results[0] == results[1]


@pytest.mark.slow
@every_model
def test_a_training_step_never_waits_for_the_device(name):
    with torch.device("meta"):
        model = build_model(name)
        optimizer = torch.optim.Adam(model.parameters())
    batch, data = batch_of(model.batch_type), data_of(model.batch_type)
    with Transfers() as transfers:
        for _ in range(2):  # a language model continues from its state
            moved = data.transfer_batch_to_device(batch, torch.device("meta"), 0)
            output = model.step(moved)
            model._meter.update(output.loss, output.num_targets)
            if output.loss.requires_grad:
                output.loss.backward()
            optimizer.step()
    assert transfers.blocking == []
    assert transfers.queued
