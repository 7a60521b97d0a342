"""Checkpoints record the kernels, and a resume under others says so in one line."""

import logging

import pytest
import torch

from rnn_lab.training import BestCheckpoint, KernelRecord, kernel_record


@pytest.fixture
def fit(task, data, make_trainer, monkeypatch):
    """Train under kernels of a version; return the path of the last checkpoint."""

    def run(version, epochs, last=None):
        monkeypatch.setattr(kernel_record, "kernel_version", lambda: version)
        trainer = make_trainer(max_epochs=epochs, callbacks=[KernelRecord(), BestCheckpoint()])
        trainer.fit(task(), data(), ckpt_path=last)
        return trainer.checkpoint_callback.last_model_path

    return run


def reports(caplog):
    return [r.getMessage() for r in caplog.records if r.name == kernel_record.__name__]


@pytest.mark.parametrize(("later", "lines"), [("plain", 0), ("compiled 12ab", 1)])
def test_a_resume_under_other_kernels_is_reported_in_one_line(fit, caplog, later, lines):
    last = fit("plain", 1)
    assert torch.load(last, weights_only=True)["kernels"] == "plain"
    with caplog.at_level(logging.WARNING, "rnn_lab"):
        fit(later, 2, last)
    messages = reports(caplog)
    assert len(messages) == lines
    assert all("plain kernels, this run uses compiled 12ab ones" in text for text in messages)


def test_a_test_under_other_kernels_is_not_reported(fit, task, data, make_trainer, caplog):
    last = fit("compiled 12ab", 1)
    callbacks = [KernelRecord(), BestCheckpoint()]
    make_trainer(callbacks=callbacks).validate(task(), data(), ckpt_path=last)
    assert not reports(caplog)
