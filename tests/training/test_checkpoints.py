"""Checkpoints that are whole or not there, and what a run goes on from."""

import logging
import resource
import signal
from contextlib import contextmanager

import pytest
import torch
from handmade import content

from rnn_lab.__main__ import main
from rnn_lab.core.checkpoint import is_intact
from rnn_lab.errors import UserError
from rnn_lab.training import AtomicCheckpointIO
from rnn_lab.training.checkpoints import find_resume_checkpoint

SMALL = ["--model=LSTMClassifier", "--model.hidden_dim=8", "--data=SyntheticReviews"]
SMALL += ["--data.train_size=80", "--data.valid_size=40", "--trainer.accelerator=cpu"]


def weights(value, size=50_000):
    return content(weight=torch.full((size,), float(value)))


def assert_same(path, expected):
    found = torch.load(path)
    torch.testing.assert_close(found["state_dict"], expected["state_dict"], atol=0, rtol=0)
    assert found["rnn_lab"] == expected["rnn_lab"]


@contextmanager
def nearly_full():
    """No file can grow beyond 100 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_what_was_saved_is_read_and_nothing_lies_beside_it(tmp_path):
    AtomicCheckpointIO().save_checkpoint(weights(1), tmp_path / "new" / "last.ckpt")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["last.ckpt"]
    assert_same(tmp_path / "new" / "last.ckpt", weights(1))
    assert is_intact(tmp_path / "new" / "last.ckpt")


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    last = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(weights(1, 100), last)
    saying = r"cannot write .*last.ckpt: .*the previous file is unchanged"
    with nearly_full(), pytest.raises(UserError, match=saying):
        AtomicCheckpointIO().save_checkpoint(weights(2), last)
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
    assert_same(last, weights(1, 100))


def test_what_a_killed_run_left_half_written_is_written_over(tmp_path):
    (tmp_path / ".last.ckpt.part").write_bytes(b"half")
    AtomicCheckpointIO().save_checkpoint(weights(1), tmp_path / "last.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_checkpoint_is_passed_over_and_named(tmp_path, share, caplog):
    for name, value in (("last", 2), ("best", 1)):
        AtomicCheckpointIO().save_checkpoint(weights(value), tmp_path / f"{name}.ckpt")
    last = tmp_path / "last.ckpt"
    assert find_resume_checkpoint(tmp_path).path == str(last)
    last.write_bytes(last.read_bytes()[: int(share * last.stat().st_size)])
    with caplog.at_level(logging.WARNING):
        assert find_resume_checkpoint(tmp_path).path == str(tmp_path / "best.ckpt")
    assert f"{last} is damaged" in caplog.text


def test_a_checkpoint_with_other_bytes_in_it_is_damaged(tmp_path):
    AtomicCheckpointIO().save_checkpoint(weights(1), tmp_path / "last.ckpt")
    found = bytearray((tmp_path / "last.ckpt").read_bytes())
    found[len(found) // 2] ^= 255
    (tmp_path / "last.ckpt").write_bytes(found)
    assert not is_intact(tmp_path / "last.ckpt")


def test_only_damaged_ones_are_refused_and_none_at_all_is_a_fresh_start(tmp_path):
    assert find_resume_checkpoint(tmp_path) is None
    (tmp_path / "last.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match=r"damaged: .*last.ckpt; set --overwrite=true"):
        find_resume_checkpoint(tmp_path)


def test_a_run_goes_on_from_the_best_where_the_last_is_damaged(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["fit", *SMALL, "--experiment=e", "--name=n", "--ckpt_path=last"]
    assert main([*command, "--trainer.max_epochs=1"]) == 0
    monkeypatch.delenv("RNN_LAB_RUN", raising=False)
    last = tmp_path / "runs/e/n/checkpoints/last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    assert main([*command, "--trainer.max_epochs=2"]) == 0
    assert is_intact(last)
    assert torch.load(last, weights_only=True)["epoch"] == 1


def test_a_run_on_a_full_disk_ends_with_one_line_and_goes_on_later(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["fit", *SMALL, "--experiment=e", "--name=n", "--ckpt_path=last"]
    assert main([*command, "--trainer.max_epochs=1"]) == 0
    monkeypatch.delenv("RNN_LAB_RUN", raising=False)
    capsys.readouterr()
    with nearly_full():
        assert main([*command, "--trainer.max_epochs=2"]) == 1
    (told,) = [line for line in capsys.readouterr().err.splitlines() if "rnn-lab:" in line]
    assert "cannot write" in told
    monkeypatch.delenv("RNN_LAB_RUN", raising=False)
    assert main([*command, "--trainer.max_epochs=2"]) == 0
