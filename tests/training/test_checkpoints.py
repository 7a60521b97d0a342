"""Checkpoints are written atomically, and a run resumes from an intact one."""

import io
import logging
import resource
import signal
from contextlib import contextmanager

import pytest
import torch
from handmade import content

from rnn_lab.__main__ import main
from rnn_lab.core.checkpoint_pickle import RefusedPickleError, check_archive
from rnn_lab.errors import UserError
from rnn_lab.training import AtomicCheckpointIO, checkpoints
from rnn_lab.training.checkpoints import find_resume_checkpoint

SMALL = ["--model=LSTMClassifier", "--model.hidden_dim=8", "--data=SyntheticReviews"]
SMALL += ["--data.train_size=80", "--data.valid_size=40", "--trainer.accelerator=cpu"]


def weights(value, size=50_000):
    return content(weight=torch.full((size,), float(value)))


def assert_same(path, expected):
    loaded = torch.load(path)
    torch.testing.assert_close(loaded["state_dict"], expected["state_dict"], atol=0, rtol=0)
    assert loaded["rnn_lab"] == expected["rnn_lab"]


@contextmanager
def nearly_full():
    """Limit the size of files to 100 kB."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_saved_checkpoint_is_loaded_and_no_temporary_file_remains(tmp_path):
    AtomicCheckpointIO().save_checkpoint(weights(1), tmp_path / "new" / "last.ckpt")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["last.ckpt"]
    assert_same(tmp_path / "new" / "last.ckpt", weights(1))
    check_archive(tmp_path / "new" / "last.ckpt")


def test_a_full_disk_leaves_the_previous_checkpoint_unchanged(tmp_path):
    last = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(weights(1, 100), last)
    message = r"cannot write .*last.ckpt: .*the previous file is unchanged"
    with nearly_full(), pytest.raises(UserError, match=message):
        AtomicCheckpointIO().save_checkpoint(weights(2), last)
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
    assert_same(last, weights(1, 100))


def test_a_partial_file_of_a_killed_run_is_replaced(tmp_path):
    (tmp_path / ".last.ckpt.part").write_bytes(b"half")
    AtomicCheckpointIO().save_checkpoint(weights(1), tmp_path / "last.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_checkpoint_is_skipped_with_a_warning(tmp_path, fraction, caplog):
    for name, value in (("last", 2), ("best", 1)):
        AtomicCheckpointIO().save_checkpoint(weights(value), tmp_path / f"{name}.ckpt")
    last = tmp_path / "last.ckpt"
    assert find_resume_checkpoint(tmp_path).path == str(last)
    last.write_bytes(last.read_bytes()[: int(fraction * last.stat().st_size)])
    with caplog.at_level(logging.WARNING):
        assert find_resume_checkpoint(tmp_path).path == str(tmp_path / "best.ckpt")
    assert f"{last} is damaged" in caplog.text


def test_a_checkpoint_with_a_changed_byte_is_damaged(tmp_path):
    AtomicCheckpointIO().save_checkpoint(weights(1), tmp_path / "last.ckpt")
    content = bytearray((tmp_path / "last.ckpt").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(RefusedPickleError, match="a checksum does not match"):
        check_archive(tmp_path / "last.ckpt")


def test_damaged_checkpoints_are_refused_and_no_checkpoint_starts_a_new_run(tmp_path):
    assert find_resume_checkpoint(tmp_path) is None
    (tmp_path / "last.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match=r"damaged: .*last.ckpt; set --overwrite=true"):
        find_resume_checkpoint(tmp_path)


def test_a_run_resumes_from_the_best_checkpoint_if_the_last_is_damaged(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    command = ["fit", *SMALL, "--experiment=e", "--name=n", "--ckpt_path=last"]
    assert main([*command, "--trainer.max_epochs=1"]) == 0
    monkeypatch.delenv("RNN_LAB_RUN", raising=False)
    last = tmp_path / "runs/e/n/checkpoints/last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    assert main([*command, "--trainer.max_epochs=2"]) == 0
    check_archive(last)
    assert torch.load(last, weights_only=True)["epoch"] == 1


def test_a_run_on_a_full_disk_ends_with_one_line_and_can_be_resumed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["fit", *SMALL, "--experiment=e", "--name=n", "--ckpt_path=last"]
    assert main([*command, "--trainer.max_epochs=1"]) == 0
    monkeypatch.delenv("RNN_LAB_RUN", raising=False)
    capsys.readouterr()
    with nearly_full():
        assert main([*command, "--trainer.max_epochs=2"]) == 1
    (message,) = [line for line in capsys.readouterr().err.splitlines() if "rnn-lab:" in line]
    assert "cannot write" in message
    monkeypatch.delenv("RNN_LAB_RUN", raising=False)
    assert main([*command, "--trainer.max_epochs=2"]) == 0


@pytest.mark.parametrize("write", [1, 2, 3, 7, 20])
def test_an_interrupt_at_any_write_is_passed_on_and_leaves_the_previous_file(
    write, tmp_path, monkeypatch
):
    class Interrupted(io.BufferedWriter):
        count = 0

        def write(self, data):
            self.count += 1
            if self.count == write:
                raise KeyboardInterrupt
            return super().write(data)

    writer, content = AtomicCheckpointIO(), {"state_dict": {"weight": torch.zeros(100)}}
    writer.save_checkpoint(content, tmp_path / "last.ckpt")
    before = (tmp_path / "last.ckpt").read_bytes()
    opened = lambda path, mode: Interrupted(io.FileIO(path, "w"))  # noqa: E731
    monkeypatch.setattr(checkpoints, "open", opened, raising=False)
    with pytest.raises(KeyboardInterrupt):
        writer.save_checkpoint(content, tmp_path / "last.ckpt")
    assert (tmp_path / "last.ckpt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
