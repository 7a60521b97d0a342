from pathlib import Path

import pytest
import yaml
from lightning.pytorch import Trainer

from rnn_lab.training import (
    BestCheckpoint,
    CSVMetricsLogger,
    OfflineWandbLogger,
    configure_loggers,
    read_metrics,
)

CONFIGS = Path(__file__).parents[2] / "configs"
SUPPORT = Path(__file__).parents[1] / "support"


def table(folder):
    return read_metrics(Path(folder, "metrics.csv"))


def log(logger, step, **metrics):
    logger.log_metrics({name.replace("_", "/", 1): x for name, x in metrics.items()}, step)
    logger.save()


def test_a_step_is_a_row_and_a_metric_a_column(tmp_path):
    logger = CSVMetricsLogger(str(tmp_path))
    log(logger, 0, train_loss=0.7, epoch=0)
    log(logger, 0, train_lr=0.1)
    log(logger, 50, train_loss=0.5, epoch=1)
    assert table(tmp_path) == {
        "step": [0, 50],
        "epoch": [0, 1],
        "train/loss": [0.7, 0.5],
        "train/lr": [0.1, None],
    }


def test_the_file_is_complete_after_every_save(tmp_path):
    logger = CSVMetricsLogger(str(tmp_path))
    for step, name in [(0, "train_loss"), (0, "val_loss"), (9, "val_loss"), (9, "val_f1")]:
        log(logger, step, **{name: step + 1.0})
        assert table(tmp_path)[name.replace("_", "/")][-1] == step + 1.0
    assert table(tmp_path)["step"] == [0, 9]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_a_later_run_appends_its_rows(tmp_path):
    log(CSVMetricsLogger(str(tmp_path)), 10, train_loss=0.7, val_loss=0.6)
    later = CSVMetricsLogger(str(tmp_path))
    log(later, 10, train_loss=0.5)
    log(later, 10, test_loss=0.4)
    log(later, 20, train_loss=0.3)
    assert table(tmp_path) == {
        "step": [10, 10, 20],
        "epoch": [None, None, None],
        "train/loss": [0.7, 0.5, 0.3],
        "val/loss": [0.6, None, None],
        "test/loss": [None, 0.4, None],
    }


def test_small_numbers_have_the_precision_of_float32(tmp_path):
    log(CSVMetricsLogger(str(tmp_path)), 0, train_lr=1.234567e-9)
    assert table(tmp_path)["train/lr"] == [1.234567e-9]


def test_a_metrics_logger_without_a_folder_is_refused():
    logger = CSVMetricsLogger()
    logger.log_metrics({"a": 1.0}, 0)
    with pytest.raises(ValueError, match="set save_dir or call configure_loggers"):
        logger.save()


def test_a_resumed_run_appends_its_metrics(task, data, make_trainer):
    first = make_trainer(max_epochs=1, callbacks=BestCheckpoint())
    first.fit(task(), data())
    path = Path(first.default_root_dir, "metrics.csv")
    before = path.read_text()
    last = first.checkpoint_callback.last_model_path
    make_trainer(max_epochs=2, callbacks=BestCheckpoint()).fit(task(), data(), ckpt_path=last)
    assert path.read_text().startswith(before)
    assert read_metrics(path)["step"] == [0, 1, 2, 3]


def test_a_metrics_logger_is_added_to_other_loggers_once(tmp_path):
    folder = str(tmp_path / "exp" / "model-1")
    wandb_run = OfflineWandbLogger(mode="disabled")
    trainer = Trainer(accelerator="cpu", logger=wandb_run, default_root_dir=folder)
    configure_loggers(trainer)
    configure_loggers(trainer)
    assert [type(logger) for logger in trainer.loggers] == [OfflineWandbLogger, CSVMetricsLogger]
    assert {logger.save_dir for logger in trainer.loggers} == {folder}
    assert trainer.log_dir == folder


def test_a_dry_run_has_no_metrics_logger(tmp_path):
    options = {"accelerator": "cpu", "fast_dev_run": True, "default_root_dir": str(tmp_path)}
    trainer = Trainer(**options, logger=CSVMetricsLogger())
    configure_loggers(trainer)
    assert not any(isinstance(logger, CSVMetricsLogger) for logger in trainer.loggers)


def test_a_custom_folder_is_not_changed():
    logger = CSVMetricsLogger("mine")
    logger.set_run_dir("run")
    assert logger.save_dir == "mine"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*er/*.yaml")), ids=lambda path: path.stem)
def test_a_profile_documents_its_option_and_sets_only_the_trainer(path):
    text = path.read_text()
    what, run = text.splitlines()[:2]
    assert what.startswith("# ")
    assert run.startswith("# Run: ")
    assert f"-c {path.stem}" in run
    assert list(yaml.safe_load(text)) == ["trainer"]
