"""Loading from checkpoints: predictors answer as the saved task does, and errors are one line."""

import handmade
import pytest
import torch
from torch.nn.modules import module

from rnn_lab import load
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.loading import (
    check_sizes,
    instantiate_task,
    load_task,
    load_weights,
    predictor_class,
)
from rnn_lab.datamodules import SyntheticReviews
from rnn_lab.errors import UserError
from rnn_lab.models import LSTMClassifier, SequenceTagger
from rnn_lab.tasks.text_classification.task import TextClassificationTask


@pytest.fixture
def task():
    torch.manual_seed(0)
    vocab_size = SyntheticReviews(16, 8, 8).vocab_size
    return LSTMClassifier(vocab_size, embedding_dim=4, hidden_dim=4, num_classes=2).eval()


def save(path, task, data=None):
    """Save a task, with the build specification of data, as training does."""
    torch.save(handmade.content(task.build_spec(), data, **task.state_dict()), path)
    return str(path)


@pytest.fixture
def path(task, tmp_path):
    return save(tmp_path / "a.ckpt", task, SyntheticReviews(16, 8, 8).build_spec())


def test_a_loaded_task_has_the_specification_and_the_weights_of_the_saved_one(task, path):
    loaded = load_task(Checkpoint.open(path))
    assert loaded.build_spec() == task.build_spec()
    torch.testing.assert_close(loaded.state_dict(), task.state_dict(), rtol=0, atol=0)


def test_a_loaded_predictor_is_in_evaluation_mode_and_answers_every_text(path):
    predictor = load(path)
    assert type(predictor) is predictor_class(Checkpoint.open(path))
    assert not predictor.task.training
    assert [answer["text"] for answer in predictor.predict(["a film", "dull"])] == [
        "a film",
        "dull",
    ]


def test_instantiating_a_task_leaves_out_optimizer_and_scheduler(task):
    spec = task.build_spec()
    spec["init_args"] |= {"optimizer": {"class_path": "torch.optim.SGD"}, "scheduler": 3}
    assert instantiate_task(spec).hparams.get("optimizer") is None


def test_weights_with_other_shapes_are_refused(path):
    other = LSTMClassifier(9, embedding_dim=4, hidden_dim=4, num_classes=2)
    with pytest.raises(
        UserError, match=r"(?s)the weights of .*a\.ckpt do not match: .*size mismatch"
    ):
        load_weights(other, Checkpoint.open(path))


@pytest.mark.parametrize(
    ("class_path", "init_args", "message"),
    [
        ("rnn_lab.SyntheticReviews", {}, "which is not a model of rnn_lab"),
        ("rnn_lab.LSTMClassifier", {"colour": 1}, "LSTMClassifier of x.ckpt cannot be built"),
        ("rnn_lab.LSTMClassifier", {"vocab_size": 9, "num_layers": 0}, "num_layers must be at"),
    ],
)
def test_a_specification_that_cannot_be_built_is_refused(class_path, init_args, message):
    with pytest.raises(UserError, match=message):
        instantiate_task({"class_path": class_path, "init_args": init_args}, "x.ckpt")


@pytest.mark.parametrize(
    ("init_args", "message"),
    [
        ({"num_layers": 10**9}, "num_layers of .* is 1000000000, but it stores 7 weights"),
        ({"num_layers": 100}, "has more parts than its weights allow"),
        ({"vocab_size": 10**10}, "(?s)do not match: .*size mismatch"),
        ({"hidden_dim": 10**6}, "(?s)do not match: .*size mismatch"),
    ],
)
def test_sizes_that_do_not_match_the_weights_are_refused_without_memory(
    init_args, message, task, tmp_path
):
    path = save(tmp_path / "a.ckpt", task)
    checkpoint = Checkpoint.open(path)
    checkpoint.model["init_args"] |= init_args
    with pytest.raises(UserError, match=message):
        load_task(checkpoint)


def test_checking_sizes_changes_neither_hooks_nor_random_numbers(path):
    torch.manual_seed(0)
    expected, hooks = torch.rand(1), dict(module._global_parameter_registration_hooks)
    torch.manual_seed(0)
    check_sizes(Checkpoint.open(path))
    assert torch.equal(torch.rand(1), expected)
    assert module._global_parameter_registration_hooks == hooks


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_weights_that_are_not_finite_are_refused_by_name(value, task, tmp_path):
    task.fc.weight.data[0, 0] = float(value)
    with pytest.raises(UserError, match=r"fc.weight of .*a.ckpt has weights that are not finite"):
        load_task(Checkpoint.open(save(tmp_path / "a.ckpt", task)))


@pytest.mark.parametrize("dtype", [torch.cfloat, torch.int8, torch.bool])
def test_weights_of_another_kind_are_refused_by_name(dtype, task, tmp_path):
    weights = task.state_dict() | {"fc.weight": task.fc.weight.detach().to(dtype)}
    torch.save(handmade.content(task.build_spec(), None, **weights), tmp_path / "a.ckpt")
    with pytest.raises(UserError, match=rf"fc.weight of .* is {dtype}, but LSTMClassifier needs"):
        load_task(Checkpoint.open(tmp_path / "a.ckpt"))


def test_large_finite_weights_and_those_of_lower_precision_are_accepted(task, tmp_path):
    task.fc.weight.data.fill_(torch.finfo(torch.float).max)
    weights = task.state_dict() | {"fc.bias": task.fc.bias.detach().half()}
    torch.save(handmade.content(task.build_spec(), None, **weights), tmp_path / "a.ckpt")
    loaded = load_task(Checkpoint.open(tmp_path / "a.ckpt"))
    assert loaded.fc.weight.max() == torch.finfo(torch.float).max
    assert loaded.fc.bias.dtype == torch.float


def test_a_checkpoint_without_data_has_no_predictor(task, tmp_path):
    with pytest.raises(UserError, match="was trained without a data module"):
        load(save(tmp_path / "b.ckpt", task))


def test_a_task_without_a_predictor_is_refused(tmp_path):
    tagger = SequenceTagger(vocab_size=10, num_classes=9, embedding_dim=2, hidden_dim=2)
    data = {"class_path": "rnn_lab.CopyMemory", "init_args": {}}
    with pytest.raises(UserError, match=r"SequenceTagger\.predictor names no class that reads raw"):
        load(save(tmp_path / "b.ckpt", tagger, data))


def test_a_task_without_what_its_predictor_calls_is_refused(monkeypatch, path):
    monkeypatch.delattr(TextClassificationTask, "probabilities")
    reason = "TextPredictor accepts only a task with a `loss` and a method `probabilities`"
    with pytest.raises(UserError, match=f"LSTMClassifier, whose predictor {reason}"):
        load(path)


def test_an_ensemble_of_a_task_that_supports_none_is_refused(path):
    with pytest.raises(UserError, match="LSTMClassifier, which supports no ensemble"):
        load(path, ensemble=[path])
