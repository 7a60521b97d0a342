"""Training, validation and test steps, and the specifications in a checkpoint."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.optim.lr_scheduler import LambdaLR

from rnn_lab.datamodules import SyntheticChirps, SyntheticReviews
from rnn_lab.errors import UserError
from rnn_lab.models import (
    GRUClassifier,
    LSTMClassifier,
    LSTMForecaster,
    SentimentLSTM,
    SequenceClassifier,
    SequenceTagger,
    TextClassifier,
)
from rnn_lab.tasks.text_classification.models import Dropouts


def trainer(**options):
    quiet = {
        "accelerator": "cpu", "logger": False, "enable_checkpointing": False,
        "enable_progress_bar": False, "enable_model_summary": False,
        "use_distributed_sampler": False, "log_every_n_steps": 1,
    }  # fmt: skip
    return Trainer(**{**quiet, **options})


@pytest.fixture
def reviews():
    return SyntheticReviews(64, 24, 40, batch_size=16)


def small(cls, data, **options):
    return cls(data.vocab_size, 8, 8, **options)


def test_test_metrics_are_exact_over_batches_of_different_sizes(reviews):
    seed_everything(0)
    model = small(LSTMClassifier, reviews)
    (measured,) = trainer().test(model, reviews, verbose=False)
    split = reviews.split("test")
    whole = split[torch.arange(len(split)).numpy()]
    model.eval()
    output = model.step(whole)
    accuracy = (output.predictions.argmax(1) == whole.labels).float().mean()
    assert measured["test/accuracy"] == pytest.approx(float(accuracy))
    assert measured["test/loss"] == pytest.approx(float(output.loss.detach()), rel=1e-5)
    assert model.metrics["test"]["confusion"].compute().sum() == len(split)


def test_an_optimizer_is_fused_unless_fused_is_false(reviews):
    for optimizer, fused in (
        (None, True),
        (partial(torch.optim.AdamW, lr=1e-3, fused=False), False),
    ):
        model = small(LSTMClassifier, reviews, optimizer=optimizer)
        fit = trainer(max_steps=1, limit_val_batches=0)
        fit.fit(model, reviews)
        assert fit.optimizers[0].param_groups[0]["fused"] is fused


class PerStep(LambdaLR):
    interval = "step"

    def __init__(self, optimizer):
        self.total_steps = None
        super().__init__(optimizer, lambda step: 0.5**step)


@pytest.mark.parametrize(
    ("scheduler", "rate"),
    [(PerStep, 0.5**8), (partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.1), 0.01)],
)
def test_a_schedule_is_updated_at_the_interval_of_its_class(reviews, scheduler, rate):
    model = small(LSTMClassifier, reviews, scheduler=scheduler)
    fit = trainer(max_epochs=2)
    fit.fit(model, reviews)
    assert fit.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-3 * rate)
    if scheduler is PerStep:
        assert fit.lr_scheduler_configs[0].scheduler.total_steps == 8


@pytest.mark.parametrize(("mode", "metric"), [("min", "val/loss"), ("max", "val/accuracy")])
def test_a_plateau_is_measured_in_the_direction_of_its_mode(reviews, mode, metric):
    scheduler = partial(torch.optim.lr_scheduler.ReduceLROnPlateau, mode=mode)
    options = small(LSTMClassifier, reviews, scheduler=scheduler).configure_optimizers()
    assert options["lr_scheduler"]["monitor"] == metric


def test_a_plateau_of_an_error_must_decrease():
    scheduler = partial(torch.optim.lr_scheduler.ReduceLROnPlateau, mode="max")
    model = LSTMForecaster(input_dim=1, hidden_dim=4, scheduler=scheduler)
    with pytest.raises(UserError, match="mode=max does not fit val/loss"):
        model.configure_optimizers()


def test_mixed_precision_works_with_clipping_and_the_fused_default(reviews):
    model = small(LSTMClassifier, reviews)
    with warnings.catch_warnings():
        trainer(max_steps=2, precision="bf16-mixed", gradient_clip_val=1.0).fit(model, reviews)


def test_a_checkpoint_has_the_build_specifications_of_model_and_data(reviews, tmp_path):
    model = small(SentimentLSTM, reviews, optimizer=torch.optim.SGD)
    fit = trainer(max_steps=1, limit_val_batches=0)
    fit.fit(model, reviews)
    fit.save_checkpoint(tmp_path / "a.ckpt")
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)["rnn_lab"]
    arguments = saved["model"]["init_args"]
    assert arguments == {
        "vocab_size": reviews.vocab_size, "embedding_dim": 8, "hidden_dim": 8, "num_layers": 2,
        "scheduler": None,
    }  # fmt: skip
    assert saved["data"]["labels"] == ["negative", "positive"]
    assert saved["data"]["tokenizer"]["words"] == reviews.tokenizer.words
    assert "vocab_from_checkpoint" not in saved["data"]["init_args"]


def test_data_with_another_number_of_labels_is_refused():
    reviews = SyntheticReviews(8, 8, 8)
    with pytest.raises(
        UserError, match="LSTMClassifier predicts 3 classes, SyntheticReviews has 2"
    ):
        trainer(max_steps=1).fit(LSTMClassifier(reviews.vocab_size, 8, 8, 3), reviews)


def test_embeddings_are_initialized_with_the_word_vectors_of_the_data(tmp_path):
    (tmp_path / "v.txt").write_text("plot 1 2 3\nnever-seen 4 5 6\ncast 7 8 9\n")
    reviews = SyntheticReviews(64, 8, 8)
    reviews.vectors = str(tmp_path / "v.txt")
    model = TextClassifier(reviews.vocab_size, 3, 8)
    trainer(max_steps=0, limit_val_batches=0).fit(model, reviews)
    row = reviews.tokenizer.words.index("cast")
    assert model.embedding.weight[row].tolist() == [7, 8, 9]


def test_training_resumed_in_mid_epoch_reaches_the_same_weights(reviews, tmp_path):
    """Batches, weights and optimizer are resumed; dropout would need the random states, too."""

    def new_model():
        seed_everything(3)
        return small(TextClassifier, reviews, dropouts=Dropouts(head=0.0))

    def data():
        return SyntheticReviews(64, 24, 40, batch_size=16)

    whole, resumed = new_model(), new_model()

    def two_epochs(name):
        checkpointing = ModelCheckpoint(
            tmp_path / name, "six", every_n_train_steps=6
        )  # of 2 x 4 steps
        return trainer(
            max_epochs=2, limit_val_batches=0, enable_checkpointing=True, callbacks=[checkpointing]
        )

    two_epochs("whole").fit(whole, data())
    with pytest.warns(UserWarning, match="dirpath has changed"):
        two_epochs("resumed").fit(resumed, data(), ckpt_path=tmp_path / "whole/six.ckpt")
    for name, weights in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], weights), name


def test_series_are_trained_by_the_same_step():
    chirps = SyntheticChirps(32, 16, 16, batch_size=8)
    model = GRUClassifier(chirps.input_dim, 8, chirps.num_classes)
    fit = trainer(max_epochs=1)
    fit.fit(model, chirps)
    assert {"val/loss", "val/accuracy", "val/f1"} <= fit.callback_metrics.keys()


@pytest.mark.parametrize("value", [-0.1, 1, 2])
@pytest.mark.parametrize(
    ("model", "sizes", "options", "name"),
    [
        (TextClassifier, (10, 4, 4), {"loss": {"label_smoothing": None}}, "label_smoothing"),
        (TextClassifier, (10, 4, 4), {"dropouts": {"layer": None}}, "layer_dropout"),
        (SequenceClassifier, (3, 4), {"loss": {"label_smoothing": None}}, "label_smoothing"),
        (SequenceTagger, (10, 4), {"label_smoothing": None, "num_classes": 3}, "label_smoothing"),
    ],
)
def test_a_probability_out_of_range_is_refused(model, sizes, options, name, value):
    filled = {
        key: {k: value for k in given} if isinstance(given, dict) else given or value
        for key, given in options.items()
    }
    with pytest.raises(UserError, match=f"{name} must be at least 0 and below 1, got {value}"):
        model(*sizes, **filled)


def test_a_batch_whose_loss_is_nan_is_not_left_out_of_the_mean_loss(reviews, monkeypatch):
    model, step, factors = small(LSTMClassifier, reviews), LSTMClassifier.step, iter([torch.nan])

    def diverging(self, batch):
        output = step(self, batch)
        return output._replace(loss=output.loss * next(factors, 1.0))

    monkeypatch.setattr(LSTMClassifier, "step", diverging)
    (measured,) = trainer().test(model, reviews, verbose=False)
    assert np.isnan(measured["test/loss"])


def test_a_constructor_that_does_not_name_its_arguments_is_refused():
    class Forwarding(LSTMClassifier):
        def __init__(self, *args, head_dim=4, **kwargs):
            super().__init__(*args, **kwargs)

    with pytest.raises(UserError, match=r"of Forwarding has the argument \*args, but a checkpoint"):
        Forwarding(10, embedding_dim=4, hidden_dim=4)

    class Options(SyntheticReviews):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)

    with pytest.raises(UserError, match=r"of Options has the argument \*\*kwargs, but a check"):
        Options(train_size=8)
