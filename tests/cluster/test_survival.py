"""Runs that are told to go, or killed: continued, they end with the weights of undisturbed ones."""

import json
import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from rnn_lab.__main__ import main
from rnn_lab.training import read_metrics
from rnn_lab.training.runs import artifact_path, prepare_run_dir

KICKER = '''
"""Sends this process a signal, once, at a moment that the environment names."""
import os
from pathlib import Path
from lightning.pytorch.callbacks import Callback

class Kicker(Callback):
    def kick(self, trainer, moment):
        wish = os.environ.get("KICK", "").split()
        mark = Path("-".join(["kicked", *wish]))
        if wish[:3] == [moment, str(trainer.global_step), str(trainer.global_rank)]:
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), int(wish[3]))
    def on_train_batch_start(self, trainer, *_):
        self.kick(trainer, "train")
    def on_validation_batch_start(self, trainer, module, batch, batch_idx):
        self.kick(trainer, f"validation-{batch_idx}")
    def on_test_batch_start(self, trainer, *_):
        self.kick(trainer, "test")
'''
PROFILES = Path(__file__).parents[2] / "configs/trainer"
SMALL = ["--model.embedding_dim=8", "--model.hidden_dim=8"]
FEW = ["--trainer.limit_train_batches=5", "--trainer.limit_val_batches=3"]
AVERAGED = "--trainer.callbacks+=lightning.pytorch.callbacks.EMAWeightAveraging"
REVIEWS = ["--data=SyntheticReviews", "--data.train_size=80", "--data.valid_size=40"]
DATES = ["--data=SyntheticDates", "--data.train_size=80", "--data.valid_size=20"]
STREAM = [
    "--data=SyntheticText",
    "--data.batch_size=3",
    "--data.bptt=10",
    "--data.variable_bptt=true",
]
TASKS = {
    "labels": ["--model=LSTMClassifier", *SMALL, *REVIEWS, "--data.batch_size=16"],
    "words": ["--model=AWDLSTM", *SMALL, "--model.num_layers=2", *STREAM, *FEW],
    "series": ["--model=LSTMForecaster", "--data=SyntheticSeries", *FEW, AVERAGED],
    "dates": ["--model=AttentionTranslator", *SMALL, *DATES, "--data.batch_size=16"],
}
LAST = 5  # steps of an epoch
SIGNALS = [signal.SIGTERM, signal.SIGUSR1]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder with a kicker, and no wish to be kicked yet."""
    (tmp_path / "kicker.py").write_text(KICKER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name in ("RNN_LAB_RUN", "KICK"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def words(name, task="labels", *more):
    return [
        *("fit", *TASKS[task], "--trainer.max_epochs=2", "--trainer.accelerator=cpu"),
        *("--trainer.callbacks+=kicker.Kicker", "--model.scheduler=CosineDecay"),
        *("--model.optimizer=Adam", "--model.optimizer.lr=0.01"),
        *("--experiment=drill", f"--name={name}", "--ckpt_path=last", *more),
    ]


def fit(name, task="labels", *more):
    os.environ.pop("RNN_LAB_RUN", None)
    return main(words(name, task, *more))


def digest(name):
    """Weights, optimizer, schedule and patience of a run at its end."""
    path = Path("runs/drill", name, "checkpoints/last.ckpt")
    last = torch.load(path, weights_only=True)
    kept = {key: last[key] for key in ("state_dict", "optimizer_states", "lr_schedulers")}
    (patience,) = (
        state
        for key, state in last["callbacks"].items()
        if key.startswith("ValidationEarlyStopping")
    )
    counted = [float(patience[name]) for name in ("wait_count", "stopped_epoch", "best_score")]
    return kept | {"step": last["global_step"], "patience": counted}


def same(a, b):
    torch.testing.assert_close(digest(a), digest(b), rtol=0, atol=0)
    first, second = (read_metrics(Path("runs/drill", name, "metrics.csv")) for name in (a, b))
    for metric in (name for name in first if name == "train/loss" or name[:4] == "val/"):
        values = [
            [value for value in table[metric] if value is not None] for table in (first, second)
        ]
        assert values[0] == values[1]


@pytest.mark.parametrize(
    ("moment", "step"),
    [("train", 0), ("train", 2), ("train", LAST - 1), ("validation-1", LAST)],
)
@pytest.mark.parametrize("wish", SIGNALS)
def test_a_run_that_was_told_to_go_goes_on_to_the_same_weights(
    moment, step, wish, monkeypatch, capsys
):
    assert fit("whole") == 0
    monkeypatch.setenv("KICK", f"{moment} {step} 0 {int(wish)}")
    assert fit("left") == 128 + wish
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith(f"rnn-lab: preempted by {wish.name}: runs/drill/left/checkpoints/last")
    assert fit("left") == 0
    same("whole", "left")


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_every_task_goes_on_to_the_same_weights_however_often_it_is_told_to_go(task, monkeypatch):
    assert fit("whole", task) == 0
    draw = random.Random(task)
    steps = [("train", step) for step in sorted(draw.sample(range(2 * LAST - 1), 3))]
    moments = sorted([*steps, ("validation-0", LAST)], key=lambda it: (it[1], it[0] == "train"))
    for moment, step in moments:
        monkeypatch.setenv("KICK", f"{moment} {step} 0 {int(draw.choice(SIGNALS))}")
        assert fit("left", task) in (128 + wish for wish in SIGNALS)
    assert fit("left", task) == 0
    same("whole", "left")


def test_a_validation_that_is_left_is_done_again_from_its_beginning(monkeypatch):
    monkeypatch.setenv("KICK", f"validation-1 {LAST} 0 {int(signal.SIGUSR1)}")
    assert fit("left") == 128 + signal.SIGUSR1
    assert not Path("runs/drill/left/metrics.csv").exists()  # nothing was measured to its end
    assert fit("left") == 0
    told = read_metrics(Path("runs/drill/left/metrics.csv"))
    assert len([value for value in told["val/loss"] if value is not None]) == 2


def test_validation_in_the_middle_of_an_epoch_is_not_lost_with_the_batch_before_it(monkeypatch):
    often = ["--trainer.val_check_interval=2", "--trainer.check_val_every_n_epoch=1"]
    assert fit("whole", "labels", *often) == 0
    for moment in ("train 1", "validation-0 4"):
        monkeypatch.setenv("KICK", f"{moment} 0 {int(signal.SIGTERM)}")
        assert fit("left", "labels", *often) == 128 + signal.SIGTERM
    assert fit("left", "labels", *often) == 0
    same("whole", "left")


@pytest.mark.parametrize("step", [1, 3, LAST - 1, LAST, LAST + 2])
def test_a_run_that_ends_in_the_middle_of_an_epoch_can_be_gone_on_with(step):
    plain = "--model.scheduler=null"  # else the schedule depends on the steps that were planned
    assert fit("whole", "labels", plain) == 0
    assert fit("left", "labels", plain, f"--trainer.max_steps={step}") == 0
    assert digest("left")["step"] == step
    assert fit("left", "labels", plain) == 0
    torch.testing.assert_close(digest("left"), digest("whole"), rtol=0, atol=0)
    ends = [read_metrics(Path("runs/drill", name, "metrics.csv")) for name in ("whole", "left")]
    assert ends[0]["train/loss"][-1] == ends[1]["train/loss"][-1]


def test_a_test_that_is_left_is_done_again_by_the_same_command(monkeypatch, capsys):
    monkeypatch.setenv("KICK", f"test {2 * LAST} 0 {int(signal.SIGTERM)}")
    assert fit("left", "labels", "--test=true") == 128 + signal.SIGTERM
    assert not Path("runs/drill/left/confusion_matrix.png").exists()
    assert fit("left", "labels", "--test=true") == 0
    assert Path("runs/drill/left/confusion_matrix.png").exists()


@pytest.mark.parametrize("command", ["validate", "test"])
def test_what_measures_a_checkpoint_leaves_too(command, monkeypatch, capsys):
    assert fit("whole") == 0
    kind = "validation-1" if command == "validate" else "test"
    monkeypatch.setenv("KICK", f"{kind} 0 0 {int(signal.SIGTERM)}")
    before = [signal.getsignal(wish) for wish in SIGNALS]
    capsys.readouterr()
    path = "--ckpt_path=runs/drill/whole/checkpoints/last.ckpt"
    kicked = ["--trainer.accelerator=cpu", "--trainer.callbacks+=kicker.Kicker"]
    assert main([command, path, *kicked]) == 128 + signal.SIGTERM
    told = "rnn-lab: preempted by SIGTERM: nothing was saved"
    assert capsys.readouterr().err.splitlines()[-1] == told
    assert [signal.getsignal(wish) for wish in SIGNALS] == before


def test_signals_are_what_they_were_when_training_is_over():
    before = [signal.getsignal(wish) for wish in SIGNALS]
    assert fit("whole") == 0
    assert [signal.getsignal(wish) for wish in SIGNALS] == before


def launched(name, *more, launcher=()):
    """Start a run in a process group of its own; give its exit status and what it said."""
    start = [*launcher, "rnn_lab"] if launcher else ["rnn_lab"]
    process = subprocess.Popen(
        [sys.executable, "-m", *start, *words(name, "labels", *more)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    try:
        _, errors = process.communicate(timeout=180)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return process.returncode, errors


SCONTROL = """\
#!/bin/bash
echo "JobState=RUNNING Reason=None"
if [ "$1" = requeue ]; then kill -9 $PPID; fi
"""


@pytest.mark.slow
def test_a_job_has_said_and_kept_all_before_it_is_requeued(tmp_path, monkeypatch):
    (tmp_path / "scontrol").write_text(SCONTROL)
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("KICK", f"train 2 0 {int(signal.SIGUSR1)}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_NAME", "bash")  # Lightning is to start the processes itself
    logger = ["--trainer.logger=OfflineWandbLogger", "--trainer.logger.mode=offline"]
    status, told = launched("left", *logger)
    assert status == -signal.SIGKILL
    left, requeueing = told.splitlines()[-2:]
    assert left.startswith("rnn-lab: preempted by SIGUSR1: runs/drill/left/checkpoints/last.ckpt")
    assert requeueing == "rnn-lab: requeueing SLURM job 7"
    folder = Path("runs/drill/left")
    assert json.loads((folder / "state.json").read_text())["state"] == "preempted"
    (part,) = folder.glob("wandb/offline-run-*/*.wandb")
    inspect = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", part]
    kept = subprocess.run(inspect, check=True, capture_output=True, text=True).stdout
    assert '"type":"exit"' in kept.replace(" ", "")


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_two_processes_leave_together_whichever_of_them_was_told(rank, monkeypatch):
    two = ["--trainer.strategy=ddp", "--trainer.devices=2", "--data.batch_size=8"]
    assert launched("whole", *two)[0] == 0
    monkeypatch.setenv("KICK", f"train 2 {rank} {int(signal.SIGUSR1)}")
    status, told = launched("left", *two)
    assert status == 128 + signal.SIGUSR1, told
    assert told.count("preempted by SIGUSR1") == 1
    assert "Warning" not in told
    assert "deprecated" not in told
    monkeypatch.delenv("KICK")
    assert launched("left", *two)[0] == 0
    same("whole", "left")


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_torchrun_starts_processes_anew_when_one_is_killed(rank, monkeypatch):
    two = ["-c", str(PROFILES / "torchrun.yaml"), "--data.batch_size=8"]
    torchrun = ["torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    torchrun += ["--max-restarts=2", "--monitor-interval=0.2", "-m"]
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    status, told = launched("whole", *two, launcher=torchrun)
    assert status == 0, told
    monkeypatch.setenv("KICK", f"train 7 {rank} {int(signal.SIGKILL)}")
    status, told = launched("left", *two, launcher=torchrun)
    assert status == 0, told
    assert told.count("LSTMClassifier (1,498 parameters) on SyntheticReviews") == 2  # two starts
    same("whole", "left")


@pytest.mark.slow
def test_torchrun_without_the_number_of_processes_is_refused():
    torchrun = ["torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"]
    status, told = launched("left", "--trainer.devices=auto", launcher=torchrun)
    assert status == 1
    assert told.count("rnn-lab: torchrun started 2 processes, but the run uses 1: set ") == 1
    assert "--trainer.devices=2 --trainer.num_nodes=1 --trainer.strategy=ddp" in told
    assert not Path("runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "step"), [("train", 7), ("validation-1", LAST)])
def test_a_killed_run_goes_on_from_the_epoch_before(moment, step, monkeypatch):
    assert launched("whole")[0] == 0
    monkeypatch.setenv("KICK", f"{moment} {step} 0 {int(signal.SIGKILL)}")
    assert launched("left")[0] == -signal.SIGKILL
    monkeypatch.delenv("KICK")
    assert launched("left")[0] == 0
    same("whole", "left")


def test_a_run_that_ended_before_its_first_checkpoint_starts_afresh_by_the_same_command(capsys):
    folder = Path("runs/drill/left")
    prepare_run_dir(folder)
    artifact_path(folder, "metrics.csv").write_text("step,epoch\n")
    artifact_path(folder, "config.yaml").write_text("{}")
    assert fit("left") == 0
    (folder / "checkpoints/last.ckpt").rename(folder / "checkpoints/mine.ckpt")
    (folder / "checkpoints/best.ckpt").unlink()
    assert fit("left") == 1  # somebody's checkpoint is not thrown away
    assert "already contains a run" in capsys.readouterr().err


@pytest.mark.slow
def test_a_signal_in_the_midst_of_imports_is_not_lost(monkeypatch):
    early = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    Path("early.py").write_text(early)
    code = (
        "import sys, types; import rnn_lab.signals as s; listen = s.install_handlers\n"
        "def first():\n    listen(); import early\n"
        "s.install_handlers = first\n"
        f"from rnn_lab.__main__ import main; sys.exit(main({words('left')!r}))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 128 + signal.SIGTERM, finished.stderr
    assert Path("runs/drill/left/checkpoints/last.ckpt").exists()
