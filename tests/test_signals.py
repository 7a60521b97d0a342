"""Signals are recorded instead of terminating the process, and handlers are restored."""

import os
import signal

import pytest

from rnn_lab import signals


@pytest.mark.parametrize("signum", signals.SIGNALS)
def test_a_signal_is_recorded_and_the_first_one_is_reported(signum):
    with signals.handle_signals():
        assert signals.received() == 0
        os.kill(os.getpid(), signum)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received() == signum
    assert signals.received() == 0


def test_previous_handlers_are_restored_after_an_error():
    previous = [signal.getsignal(signum) for signum in signals.SIGNALS]
    with pytest.raises(RuntimeError), signals.handle_signals():
        raise RuntimeError
    assert [signal.getsignal(signum) for signum in signals.SIGNALS] == previous


@pytest.mark.parametrize(
    ("path", "end"), [("a/last.ckpt", "--ckpt_path=last"), ("", "nothing was saved")]
)
def test_the_message_names_the_signal_and_how_to_resume(path, end):
    message = str(signals.Preempted(signal.SIGUSR1, path))
    assert message.startswith(f"preempted by SIGUSR1: {path}")
    assert message.endswith(end)
