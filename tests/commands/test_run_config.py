"""The saved config of a run."""

from pathlib import Path

import pytest
from command_line import BEST, REVIEWS, RUN, SIZES, resolved, run

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_a_saved_config_can_be_reused_for_another_run(trained):
    before = (RUN / "checkpoints/last.ckpt").read_bytes()
    assert not {"name", "overwrite", "ckpt_path"} & resolved().keys()
    assert run("fit", "-c", RUN / "config.yaml", "--experiment=other", "--name=b") == 0
    assert (RUN / "checkpoints/last.ckpt").read_bytes() == before
    assert Path("runs/other/b/checkpoints/last.ckpt").exists()


@pytest.mark.slow
def test_the_config_of_a_resumed_run_can_be_reused_for_another_run(trained):
    words = ["--checkpoint.dirpath=elsewhere", "--trainer.max_epochs=2"]
    assert run("fit", *REVIEWS, *SIZES, "--name=b", *words) == 0
    resume = ["--ckpt_path=elsewhere/last.ckpt", "--trainer.max_epochs=3"]
    assert run("fit", "--name=b", *words, *resume) == 0
    before = Path("elsewhere/last.ckpt").read_bytes()
    config = RUN.with_name("b") / "config.yaml"
    for _ in range(2):
        assert run("fit", "-c", config, "--experiment=other") == 0
    assert Path("elsewhere/last.ckpt").read_bytes() == before
    runs = sorted(path.name for path in Path("runs/other").iterdir())
    assert runs == ["LSTMClassifier-1", "LSTMClassifier-2"]
    assert Path("runs/other/LSTMClassifier-2/checkpoints/last.ckpt").exists()


def test_a_saved_config_continues_no_run_of_weights_and_biases():
    logger = ["--trainer.logger=OfflineWandbLogger", "--trainer.logger.mode=disabled"]
    assert run("fit", *REVIEWS, *SIZES, "--name=a", *logger, "--trainer.logger.id=x") == 0
    assert "id" not in resolved()["trainer"]["logger"]["init_args"]


def test_a_saved_config_contains_no_run_directory(trained):
    assert "default_root_dir" not in resolved()["trainer"]


def test_the_config_of_a_test_is_saved_with_the_tested_checkpoint(trained):
    before = resolved()
    assert run("test", "--ckpt_path", BEST) == 0
    assert resolved("config.test.yaml")["ckpt_path"] == BEST
    assert resolved() == before
