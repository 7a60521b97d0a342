"""Progress of training on a terminal and in a log file."""

import io
import logging
import re
import sys
import time

import pytest

from rnn_lab.training import BatchProgressBar, EpochNumber

OPTIONS = {"enable_progress_bar": True, "enable_checkpointing": False}
CONTROL = re.compile(r"\x1b\[[?\d;]*[A-Za-z]")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def open_terminal(monkeypatch):
    """Make a terminal of some width the standard error, within a test."""

    def open_terminal(width):
        screen = Terminal()
        monkeypatch.setattr(sys, "stderr", screen)
        for name in ("NO_COLOR", "TTY_COMPATIBLE", "FORCE_COLOR"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", str(width))
        return screen

    return open_terminal


def shown(screen):
    """Return all lines that a terminal has shown, without colors."""
    return [CONTROL.sub("", line).rstrip() for line in re.split("[\r\n]", screen.getvalue())]


def many_metrics(task):
    class Model(task):
        monitor, mode = "val/metric_8", "max"

        def validation_step(self, batch, batch_idx):
            super().validation_step(batch, batch_idx)
            values = {f"val/metric_{number}": 0.5 for number in range(9)}
            self.log_dict(values, batch_size=4, prog_bar=True)

    return Model()


def test_without_a_terminal_there_is_one_line_per_epoch(task, data, make_trainer, caplog, capsys):
    caplog.set_level(logging.INFO, "rnn_lab")
    make_trainer(max_epochs=2, callbacks=BatchProgressBar(), **OPTIONS).fit(
        task(val_losses=[0.5]), data()
    )
    lines = [m for name, _, m in caplog.record_tuples if name.startswith("rnn_lab")]
    assert len(lines) == 2
    first = r"epoch 1/2  train/loss 0\.\d+  val/loss 0\.5000  0 s"
    assert re.fullmatch(first, lines[0])
    assert capsys.readouterr().out == ""


def test_a_line_has_no_metrics_of_an_earlier_validation(task, data, make_trainer, caplog):
    caplog.set_level(logging.INFO, "rnn_lab")
    options = {"max_epochs": 3, "check_val_every_n_epoch": 2}
    make_trainer(callbacks=BatchProgressBar(), **options, **OPTIONS).fit(task(), data())
    lines = [m for name, _, m in caplog.record_tuples if name.startswith("rnn_lab")]
    assert ["val/loss" in line for line in lines] == [False, True, False]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_on_a_terminal_has_a_row_per_epoch_that_fits(
    width, open_terminal, task, data, make_trainer, capsys
):
    terminal = open_terminal(width)
    callbacks = [BatchProgressBar(), EpochNumber()]
    trainer = make_trainer(max_epochs=3, callbacks=callbacks, **OPTIONS)
    trainer.fit(many_metrics(task), data())
    lines = shown(terminal)
    assert all(len(line) <= width for line in lines)
    table = [line for line in lines if re.match(r" +(epoch|\d/3)  .*", line)]
    assert [row.split()[0] for row in table] == ["epoch", "1/3", "2/3", "3/3"]
    assert len({len(row) for row in table}) == 1
    assert "train/loss" in table[0]
    assert "val/metric_8" in table[0]  # the monitor, before other metrics
    assert capsys.readouterr().out == ""


def test_the_bar_has_the_number_of_the_epoch_on_one_line(open_terminal, task, data, make_trainer):
    terminal = open_terminal(80)

    class Model(task):
        def training_step(self, batch, batch_idx):
            time.sleep(0.15)  # longer than the time between two redraws
            self.log_dict({f"a_long_name_{i}": 1.0 for i in range(9)}, prog_bar=True)
            return super().training_step(batch, batch_idx)

    make_trainer(max_epochs=2, callbacks=BatchProgressBar(), **OPTIONS).fit(Model(), data())
    bars = [line for line in shown(terminal) if line.startswith("epoch ")]
    assert {line.split()[1] for line in bars} == {"1/2", "2/2"}
    assert all(len(line) <= 80 for line in bars)
    assert [line for line in bars if "a_long_name_0: 1.000" in line]
    assert not [line for line in shown(terminal) if line.strip().startswith("a_long_name")]
