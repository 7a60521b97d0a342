"""The short name `ReduceLROnPlateau` stands for the class that has the given arguments."""

import pytest

from rnn_lab.commands._plateau import resolve_plateau


@pytest.mark.parametrize(
    "option",
    [
        ["--model.scheduler=ReduceLROnPlateau"],
        ["--model.init_args.scheduler", "ReduceLROnPlateau"],
    ],
)
def test_the_class_depends_on_the_argument_monitor(option):
    key = option[0].partition("=")[0]
    monitor = ["--model.scheduler.init_args.monitor=val/loss"]
    torch, lightning = "torch.optim.lr_scheduler", "lightning.pytorch.cli"
    assert resolve_plateau([option]) == [[f"{key}={torch}.ReduceLROnPlateau"]]
    resolved = resolve_plateau([option, monitor])
    assert resolved == [[f"{key}={lightning}.ReduceLROnPlateau"], monitor]


def test_other_options_are_unchanged():
    options = [["--model.scheduler=StepLR"], ["-c", "a.yaml"], ["--model=ReduceLROnPlateau"]]
    assert resolve_plateau(options) == options
