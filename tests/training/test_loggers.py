import json
import os
import subprocess
import sys
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


@pytest.mark.slow
def test_wandb_is_imported_only_when_it_is_used():
    code = "import sys; from rnn_lab.training import OfflineWandbLogger; OfflineWandbLogger(); "
    code += "assert 'wandb' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*er/*.yaml")), ids=lambda path: path.stem)
def test_a_profile_documents_its_option_and_sets_only_the_trainer(path):
    text = path.read_text()
    assert text.startswith("# ")
    assert f"add -c {path.stem}" in text.splitlines()[0]
    assert list(yaml.safe_load(text)) == ["trainer"]


RUN = """
import sys
from lightning.pytorch import Trainer
from rnn_lab.classification.reports import ConfusionPlot, MisclassifiedExamples
from rnn_lab.training import *
sys.path.insert(0, sys.argv[1])
from tiny import TinyData, TinyTask

callbacks = [GradNormAndLRMonitor(), ConfusionPlot(), MisclassifiedExamples(), LearningCurves()]
trainer = Trainer(accelerator="cpu", enable_progress_bar=False, enable_model_summary=False,
    log_every_n_steps=1, max_epochs=2, default_root_dir=sys.argv[2], callbacks=callbacks,
    enable_checkpointing=False, logger=OfflineWandbLogger(mode=sys.argv[3]))
configure_loggers(trainer)
trainer.logger.experiment.config.update({"data": {"name": "tiny"}})
trainer.fit(TinyTask(), TinyData())
trainer.test(trainer.lightning_module, TinyData())
"""


LEAF = "`isinstance(treespec, LeafSpec)` is deprecated"  # Lightning 2.6 under torch 2.13

SRUN = "The `srun` command is available on your system"  # where SLURM is installed


def run_in_process(folder, mode, **environment):
    """Fit and test a tiny task in a separate process, because wandb has global state."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")}
    fixed = {"HOME": str(folder), "NETRC": str(folder / "netrc"), "OMP_NUM_THREADS": "1"}
    ignored = ["-W", f"ignore:{LEAF}", "-W", f"ignore:{SRUN}"]
    command = [sys.executable, "-W", "error", *ignored, "-c", RUN]
    return subprocess.run(
        [
            *command,
            str(Path(__file__).parents[1] / "support"),
            str(folder / "exp" / "tiny-1"),
            mode,
        ],
        env=inherited | fixed | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def records(folder):
    """Read the records that W&B would receive from the offline file."""
    (run,) = Path(folder, "exp", "tiny-1", "wandb").glob("offline-run-*")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json"]
    done = subprocess.run([*command, str(run)], check=True, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    summary = subprocess.run(
        [*command, "--summary", str(run)], check=True, capture_output=True, text=True
    )
    return [json.loads(line) for line in lines], json.loads(summary.stdout)


@pytest.mark.slow
def test_an_offline_run_has_all_metrics_tables_and_figures(tmp_path):
    done = run_in_process(tmp_path, "auto")  # no key is configured there: offline
    assert done.returncode == 0, done.stderr
    lines, summary = records(tmp_path)
    text = json.dumps(lines)
    for name in ("train/loss", "val/loss", "test/loss", "train/lr", "train/gradient_norm"):
        assert f'"{name}"' in text
    assert summary["config"]["data"] == {"name": "tiny"}
    assert summary["config"]["parameters"] == 10
    assert "test/misclassified" in text
    assert "test/confusion_matrix" in text
    media = tmp_path / "exp" / "tiny-1" / "wandb"
    assert len(list(media.glob("offline-run-*/files/media/table/test/*.json"))) == 2
    assert len(list(media.glob("offline-run-*/files/media/images/figures/*.png"))) == 2
    assert (tmp_path / "exp" / "tiny-1" / "metrics.csv").exists()


@pytest.mark.slow
def test_without_a_key_there_is_no_prompt_and_the_run_is_offline(tmp_path):
    done = run_in_process(tmp_path, "online")
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("exp/tiny-1/wandb/offline-run-*"))
    assert done.stderr.count("no API key is configured; this run stays offline") == 1


@pytest.mark.slow
def test_a_run_is_offline_if_the_server_cannot_be_reached(tmp_path):
    unreachable = {"WANDB_API_KEY": "a" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    done = run_in_process(tmp_path, "auto", **unreachable)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("exp/tiny-1/wandb/offline-run-*"))
    assert done.stderr.count("this run stays offline") == 1


class FakeRun:
    """The part of a wandb run that these tests use."""

    def __init__(self, id):
        self.id = id or "new"


@pytest.fixture
def init_calls(monkeypatch):
    """Record the arguments of `wandb.init` instead of starting runs."""
    import wandb

    calls = []

    def init(**options):
        calls.append(options)
        if options["mode"] == "online" and "unreachable" in calls[0]["tags"]:
            raise wandb.errors.CommError("unreachable")
        return FakeRun(options["id"])

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(wandb, "run", None)  # another test may have set it
    monkeypatch.setattr("rnn_lab.training.loggers._resolve_mode", lambda mode: mode)
    monkeypatch.setattr(OfflineWandbLogger, "_latest", None)
    return calls


def start(folder, mode="online", **options):
    logger = OfflineWandbLogger(mode=mode, **{"tags": [], **options})
    logger.set_run_dir(str(folder))
    return logger.experiment


def test_a_run_resumed_online_is_the_same_wandb_run(tmp_path, init_calls):
    start(tmp_path / "exp" / "run")
    (tmp_path / "exp" / "run" / "wandb" / "id").write_text("first")
    start(tmp_path / "exp" / "run")
    start(tmp_path / "exp" / "other")
    start(tmp_path / "exp" / "run", id="mine")
    assert [(call["id"], call["resume"], call["group"]) for call in init_calls] == [
        (None, "allow", "exp"),
        ("first", "allow", "exp"),
        (None, "allow", "exp"),
        ("mine", "allow", "exp"),
    ]


def test_a_run_resumed_offline_is_another_wandb_run_of_the_same_group(tmp_path, init_calls):
    start(tmp_path / "exp" / "run")
    start(tmp_path / "exp" / "run", mode="offline")
    start(tmp_path / "exp" / "run", tags=["unreachable"])
    assert [(call["id"], call["group"], call["mode"]) for call in init_calls] == [
        (None, "exp", "online"),
        (None, "exp", "offline"),
        ("new", "exp", "online"),
    ]


def test_a_run_resumed_without_the_server_has_its_own_id(tmp_path, init_calls):
    (tmp_path / "exp" / "run" / "wandb").mkdir(parents=True)
    (tmp_path / "exp" / "run" / "wandb" / "id").write_text("first")
    start(tmp_path / "exp" / "run", tags=["unreachable"])
    assert [call["id"] for call in init_calls] == ["first", None]
    assert [call["mode"] for call in init_calls] == ["online", "offline"]
    assert (tmp_path / "exp" / "run" / "wandb" / "id").read_text() == "first"
