"""Reports write into the run folder, in one process, and never in a dry run."""

from pathlib import Path

import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from matplotlib.figure import Figure

from rnn_lab.training import CSVMetricsLogger, LearningCurves, OfflineWandbLogger
from rnn_lab.training.reports import (
    evenly_spaced,
    gather_from_all_ranks,
    get_datamodule,
    log_table,
    report_path,
    save_figure,
    should_write,
    tables_are_logged,
    wandb_loggers,
)
from rnn_lab.training.runs import MANIFEST, prepare_run_dir


def test_learning_curves_are_plotted_after_training(task, data, make_trainer):
    trainer = make_trainer(max_epochs=1, callbacks=LearningCurves(), enable_checkpointing=False)
    trainer.fit(task(), data())
    figure = Path(trainer.default_root_dir, "curves.png")
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_a_dry_run_writes_no_learning_curves(task, data, make_trainer):
    trainer = make_trainer(fast_dev_run=True, callbacks=LearningCurves(), logger=False)
    trainer.fit(task(), data())
    assert not Path(trainer.default_root_dir).exists()


@pytest.mark.parametrize(
    ("fast_dev_run", "rank", "expected"), [(False, 0, True), (False, 1, False), (True, 0, False)]
)
def test_only_the_first_process_of_a_real_run_writes(
    fast_dev_run, rank, expected, make_trainer, monkeypatch
):
    trainer = make_trainer(fast_dev_run=fast_dev_run, logger=False)
    monkeypatch.setattr(type(trainer), "is_global_zero", rank == 0)
    assert should_write(trainer) is expected


def test_a_report_path_is_created_and_recorded_in_the_manifest(make_trainer):
    trainer = make_trainer()
    folder = Path(trainer.default_root_dir)
    prepare_run_dir(folder)
    path = report_path(trainer, "attention/valid-0.png")
    assert path == folder / "attention/valid-0.png"
    assert path.parent.is_dir()
    assert (folder / MANIFEST).read_text() == "attention\n"


@pytest.mark.parametrize("logger", [OfflineWandbLogger, WandbLogger])
def test_a_figure_is_saved_and_logged_to_wandb(logger, make_trainer, monkeypatch):
    logged = []
    monkeypatch.setattr(logger, "log_image", lambda self, key, images: logged.append((key, images)))
    trainer = make_trainer(logger=logger(mode="disabled"))
    save_figure(Figure(), trainer, "a/b.png")
    path = Path(trainer.default_root_dir, "a/b.png")
    assert path.exists()
    assert logged == [("figures/a/b", [str(path)])]
    assert len(wandb_loggers(trainer)) == (logger is OfflineWandbLogger)


class Board(TensorBoardLogger):
    """A logger that records figures; TensorBoard itself is not a dependency."""

    def __init__(self):
        self.figures = []

    @property
    def experiment(self):
        return self

    def add_figure(self, key, figure, step, close):
        self.figures.append((key, step))


def test_a_figure_is_logged_to_tensorboard(make_trainer):
    trainer, board = make_trainer(), Board()
    trainer.loggers = [board]
    save_figure(Figure(), trainer, "b.png")
    assert board.figures == [("figures/b", 0)]


def test_one_process_gathers_its_own_items(make_trainer):
    assert gather_from_all_ranks(make_trainer(), [1, "a"]) == [1, "a"]


def test_a_trainer_with_data_loaders_has_no_datamodule(task, data, make_trainer):
    trainer = make_trainer(max_epochs=1, enable_checkpointing=False)
    assert get_datamodule(trainer) is None
    trainer.fit(task(), data())
    assert type(get_datamodule(trainer)) is data


@pytest.mark.parametrize("logger", [OfflineWandbLogger, WandbLogger])
def test_tables_are_logged_to_wandb_with_the_size_of_the_sample(
    logger, make_trainer, monkeypatch, caplog
):
    tables = []
    monkeypatch.setattr(
        logger, "log_table", lambda self, key, columns, data: tables.append((key, columns, data))
    )
    caplog.set_level("INFO")
    trainer = make_trainer(logger=[CSVMetricsLogger(), logger(mode="disabled")])
    assert tables_are_logged(trainer)
    log_table(trainer, "a/b", ("x", "y"), [[1, "c"]], total=1200)
    log_table(trainer, "all", ("x",), [])
    assert tables == [("a/b", ["x", "y"], [[1, "c"]]), ("all", ["x"], [])]
    assert [m for m in caplog.messages if "table" in m] == ["W&B table a/b: 1 of 1,200 rows"]


def test_loggers_without_tables_are_left_out(make_trainer):
    trainer = make_trainer(logger=[CSVMetricsLogger(), Board(), CSVLogger("logs")])
    assert not tables_are_logged(trainer)
    log_table(trainer, "a/b", ("x", "y"), [[1, "c"]])


@pytest.mark.parametrize(
    ("size", "count", "expected"),
    [(10, 1, [0]), (10, 3, [0, 4, 9]), (2, 5, [0, 1]), (1, 5, [0]), (4, 0, [])],
    ids=str,
)
def test_indices_are_evenly_spaced(size, count, expected):
    assert evenly_spaced(size, count).tolist() == expected
