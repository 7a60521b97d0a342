"""Weights & Biases, tested offline: what a run records, and what `wandb.init` receives."""

import json
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from rnn_lab.errors import UserError
from rnn_lab.models import LSTMClassifier
from rnn_lab.training import OfflineWandbLogger, StatusFile, TerminateOnNaN


@pytest.mark.slow
def test_wandb_is_imported_only_when_it_is_used():
    code = "import sys; from rnn_lab.training import OfflineWandbLogger; OfflineWandbLogger(); "
    code += "assert 'wandb' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


RUN = """
import sys
from lightning.pytorch import Trainer
from rnn_lab.classification.reports import ConfusionPlot, PredictionReport
from rnn_lab.training import *
sys.path.insert(0, sys.argv[1])
from tiny import TinyData, TinyTask

callbacks = [GradNormAndLRMonitor(), ConfusionPlot(), PredictionReport(), LearningCurves()]
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
    assert "test/predictions" in text
    assert "test/confusion_matrix" in text
    media = tmp_path / "exp" / "tiny-1" / "wandb"
    assert len(list(media.glob("offline-run-*/files/media/table/test/*.json"))) == 3
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


SERVICE = """
import os, subprocess, sys
from wandb.sdk import wandb_setup
wandb_setup.singleton().ensure_service()  # the commands that this process starts share its service
os.chdir("b")
code = "from rnn_lab.training import OfflineWandbLogger as W; "
code += "w = W(mode='offline', save_dir='run'); w.experiment.log({'a': 1}); w.experiment.finish()"
subprocess.run([sys.executable, "-c", code], check=True)
"""


@pytest.mark.slow
def test_a_run_is_recorded_whole_if_another_process_has_started_a_wandb_service(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("b").mkdir()
    subprocess.run([sys.executable, "-c", SERVICE], check=True, capture_output=True)
    (record,) = Path("b/run/wandb").glob("offline-run-*/*.wandb")
    inspect = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(record)]
    content = subprocess.run(inspect, check=True, capture_output=True, text=True).stdout
    assert '"type":"history"' in content.replace(" ", "")


class FakeRun:
    """The part of a wandb run that these tests use; `calls` records its calls."""

    def __init__(self, id):
        self.id = id or "new"
        self.calls = {}
        self.config = self

    def define_metric(self, name, **options):
        self.calls.setdefault("metrics", {})[name] = options

    def watch(self, model, **options):
        self.calls["watch"] = options

    def alert(self, **options):
        self.calls["alert"] = options

    def mark_preempting(self):
        self.calls["preempting"] = True

    def finish(self, exit_code):
        self.calls["exit_code"] = exit_code

    def update(self, values, allow_val_change):
        self.calls["config"] = values


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
    monkeypatch.setattr("rnn_lab.training.wandb_logger._resolve_mode", lambda mode: mode)
    monkeypatch.setattr(OfflineWandbLogger, "_latest", None)
    for name in [name for name in os.environ if name.startswith("WANDB")]:
        monkeypatch.delenv(name)
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


DEFAULTS = {"project": "rnn-lab", "name": "run", "group": "exp", "job_type": "fit"}
VARIABLES = {
    "project": "WANDB_PROJECT", "name": "WANDB_NAME", "group": "WANDB_RUN_GROUP",
    "job_type": "WANDB_JOB_TYPE",
}  # fmt: skip


@pytest.mark.parametrize("key", VARIABLES)
def test_an_environment_variable_overrides_a_default_but_not_an_option(
    key, tmp_path, init_calls, monkeypatch
):
    def started(**options):
        logger = OfflineWandbLogger(mode="online", tags=[], **options)
        logger.set_run_dir(str(tmp_path / "exp/run"), job_type="fit")
        assert logger.experiment
        return {name: init_calls[-1][name] for name in DEFAULTS}

    assert started() == DEFAULTS
    monkeypatch.setenv(VARIABLES[key], "variable")
    assert started() == DEFAULTS | {key: "variable"}
    assert started(**{key: "option"}) == DEFAULTS | {key: "option"}


def test_entity_and_job_type_are_options(tmp_path, init_calls):
    start(tmp_path, entity="team", job_type="sweep")
    assert (init_calls[0]["entity"], init_calls[0]["job_type"]) == ("team", "sweep")


def test_the_table_of_runs_shows_the_best_value_of_the_monitor(tmp_path, init_calls):
    logger = OfflineWandbLogger(mode="online", tags=[], watch="all")
    logger.set_run_dir(str(tmp_path))
    logger.log_graph(LSTMClassifier(10, 4, 4))
    calls = logger.experiment.calls
    best = {"step_metric": "trainer/global_step", "summary": "max"}
    assert calls["metrics"]["val/accuracy"] == best
    assert calls["watch"]["log"] == "all"


@pytest.mark.parametrize(
    ("environment", "signum", "marked"),
    [
        ({}, signal.SIGTERM, True),
        ({"WANDB_SWEEP_ID": "s"}, signal.SIGTERM, False),  # the agent stopped the run early
        ({"WANDB_SWEEP_ID": "s"}, signal.SIGUSR1, True),  # sent by a scheduler
    ],
    ids=["alone", "stopped by the agent", "preempted in a sweep"],
)
def test_a_run_that_an_agent_stops_is_not_started_again(
    environment, signum, marked, tmp_path, init_calls, monkeypatch
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("wandb.teardown", lambda: None)
    logger = OfflineWandbLogger(mode="online", tags=[])
    logger.set_run_dir(str(tmp_path))
    logger.finish_preempted(128 + signum)
    assert logger.experiment.calls.get("preempting", False) == marked
    assert logger.experiment.calls["exit_code"] == 128 + signum


@pytest.mark.parametrize(("loss", "title"), [(0.5, "run: finished"), (None, "run: failed")])
def test_an_alert_tells_the_end_of_training(
    loss, title, tmp_path, init_calls, task, data, make_trainer, monkeypatch
):
    monkeypatch.setattr(OfflineWandbLogger, "log_metrics", lambda *_, **__: None)
    logger = OfflineWandbLogger(mode="online", tags=[], alert=True)
    callbacks = [StatusFile(), TerminateOnNaN()]
    trainer = make_trainer(logger=logger, callbacks=callbacks, max_epochs=1)
    with nullcontext() if loss else pytest.raises(UserError, match="loss is nan"):
        trainer.fit(task(nan_at=None if loss else 0), data())
    assert logger.experiment.calls["alert"]["title"] == title


def test_without_the_option_no_alert_is_sent(tmp_path, init_calls):
    logger = OfflineWandbLogger(mode="online", tags=[])
    logger.set_run_dir(str(tmp_path))
    logger.send_alert("finished", None)
    assert "alert" not in logger.experiment.calls
