"""The saved config of a run."""

from pathlib import Path

import pytest
from command_line import BEST, RUN, resolved, run

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_a_saved_config_can_be_reused_for_another_run(trained):
    before = (RUN / "checkpoints/last.ckpt").read_bytes()
    assert not {"name", "overwrite", "ckpt_path"} & resolved().keys()
    assert run("fit", "-c", RUN / "config.yaml", "--experiment=other", "--name=b") == 0
    assert (RUN / "checkpoints/last.ckpt").read_bytes() == before
    assert Path("runs/other/b/checkpoints/last.ckpt").exists()


def test_a_saved_config_contains_no_run_directory(trained):
    assert "default_root_dir" not in resolved()["trainer"]


def test_the_config_of_a_test_is_saved_with_the_tested_checkpoint(trained):
    before = resolved()
    assert run("test", "--ckpt_path", BEST) == 0
    assert resolved("config.test.yaml")["ckpt_path"] == BEST
    assert resolved() == before
