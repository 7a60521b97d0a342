"""Preempted and killed runs reach the weights of uninterrupted ones when they are resumed."""

import json
import os
import random
import shutil
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
"""Send this process a signal, once, at a moment that the environment variable KICK names."""
import os
from pathlib import Path
from lightning.pytorch.callbacks import Callback

class Kicker(Callback):
    def kick(self, trainer, moment):
        kick = os.environ.get("KICK", "").split()
        mark = Path("-".join(["kicked", *kick]))
        if kick[:3] == [moment, str(trainer.global_step), str(trainer.global_rank)]:
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), int(kick[3]))
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
LAST = 5  # steps per epoch
SIGNALS = [signal.SIGTERM, signal.SIGUSR1]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty working directory with the callback that sends signals."""
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


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    """Runs that were not interrupted, by their words, to be trained only once."""
    return {}, tmp_path_factory.mktemp("uninterrupted")


@pytest.fixture
def whole(uninterrupted, folder):
    """A function that puts an uninterrupted run into the working directory, as `whole`."""
    trained, store = uninterrupted

    def put(task="labels", *more):
        run = Path("runs/drill/whole")
        if (task, *more) not in trained:
            assert fit("whole", task, *more) == 0
            shutil.copytree(run, copy := store / str(len(trained)))
            trained[task, *more] = copy
        else:
            shutil.copytree(trained[task, *more], run)

    return put


def digest(name):
    """Return weights, optimizer, schedule and early-stopping state at the end of a run."""
    path = Path("runs/drill", name, "checkpoints/last.ckpt")
    last = torch.load(path, weights_only=True)
    states = {key: last[key] for key in ("state_dict", "optimizer_states")}
    states["lr_schedulers"] = [
        {name: value for name, value in schedule.items() if not isinstance(value, str)}
        for schedule in last["lr_schedulers"]
    ]
    (patience,) = (
        state
        for key, state in last["callbacks"].items()
        if key.startswith("ValidationEarlyStopping")
    )
    counted = [float(patience[name]) for name in ("wait_count", "stopped_epoch", "best_score")]
    return states | {"step": last["global_step"], "patience": counted}


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
@pytest.mark.parametrize("signum", [SIGNALS[0], pytest.param(SIGNALS[1], marks=pytest.mark.slow)])
def test_a_preempted_run_reaches_the_same_weights(moment, step, signum, whole, monkeypatch, capsys):
    whole()
    monkeypatch.setenv("KICK", f"{moment} {step} 0 {int(signum)}")
    assert fit("left") == 128 + signum
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith(
        f"rnn-lab: preempted by {signum.name}: runs/drill/left/checkpoints/last"
    )
    assert fit("left") == 0
    same("whole", "left")


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_every_task_reaches_the_same_weights_after_several_preemptions(task, whole, monkeypatch):
    whole(task)
    draw = random.Random(task)
    steps = [("train", step) for step in sorted(draw.sample(range(2 * LAST - 1), 3))]
    moments = sorted([*steps, ("validation-0", LAST)], key=lambda it: (it[1], it[0] == "train"))
    for moment, step in moments:
        monkeypatch.setenv("KICK", f"{moment} {step} 0 {int(draw.choice(SIGNALS))}")
        assert fit("left", task) in (128 + signum for signum in SIGNALS)
    assert fit("left", task) == 0
    same("whole", "left")


def test_an_interrupted_validation_is_repeated_from_its_start(monkeypatch):
    monkeypatch.setenv("KICK", f"validation-1 {LAST} 0 {int(signal.SIGUSR1)}")
    assert fit("left") == 128 + signal.SIGUSR1
    assert not Path("runs/drill/left/metrics.csv").exists()  # no validation was completed
    assert fit("left") == 0
    metrics = read_metrics(Path("runs/drill/left/metrics.csv"))
    assert len([value for value in metrics["val/loss"] if value is not None]) == 2


def test_a_preemption_before_or_in_a_mid_epoch_validation_loses_nothing(monkeypatch):
    often = ["--trainer.val_check_interval=2", "--trainer.check_val_every_n_epoch=1"]
    assert fit("whole", "labels", *often) == 0
    for moment in ("train 1", "validation-0 4"):
        monkeypatch.setenv("KICK", f"{moment} 0 {int(signal.SIGTERM)}")
        assert fit("left", "labels", *often) == 128 + signal.SIGTERM
    assert fit("left", "labels", *often) == 0
    same("whole", "left")


SWA = "lightning.pytorch.callbacks.StochasticWeightAveraging"
AVERAGE = [
    f"--trainer.callbacks+={SWA}",
    "--trainer.callbacks.swa_lrs=0.02",
    "--trainer.callbacks.device=cpu",
]
SCHEDULER = "--model.scheduler"
PLATEAU = f"{SCHEDULER}=ReduceLROnPlateau"
OPTIONS = {  # of the Trainer, and the moments of interruptions
    "max_steps": (
        ["--trainer.max_steps=12", "--trainer.max_epochs=-1", "--trainer.limit_val_batches=0"],
        ["train 1", f"train {LAST - 1}", "train 6"],
    ),
    "accumulation": (["--trainer.accumulate_grad_batches=3"], ["train 0", "train 2"]),
    "accumulation_over_validation": (
        ["--trainer.accumulate_grad_batches=3", "--trainer.val_check_interval=2"],
        ["validation-0 0", "train 2"],
    ),
    "weight_averaging": (
        [*AVERAGE, "--trainer.callbacks.swa_epoch_start=1"],
        ["train 1", "train 6"],
    ),
    "plateau": (
        [PLATEAU, f"{SCHEDULER}.patience=0", f"{SCHEDULER}.threshold=1"],
        ["train 1", f"validation-0 {LAST}"],
    ),
}


FAST = ("max_steps", "accumulation_over_validation", "plateau")


@pytest.mark.parametrize(
    "case",
    [case if case in FAST else pytest.param(case, marks=pytest.mark.slow) for case in OPTIONS],
)
def test_a_preempted_run_reaches_the_same_weights_with_options_of_the_trainer(case, monkeypatch):
    options, moments = OPTIONS[case]
    options = [f"{SCHEDULER}=null", *options]
    assert fit("whole", "labels", *options) == 0
    for moment in moments:
        monkeypatch.setenv("KICK", f"{moment} 0 {int(signal.SIGTERM)}")
        assert fit("left", "labels", *options) == 128 + signal.SIGTERM
    assert fit("left", "labels", *options) == 0
    torch.testing.assert_close(digest("left"), digest("whole"), rtol=0, atol=0)
    best = [torch.load(f"runs/drill/{name}/checkpoints/best.ckpt") for name in ("left", "whole")]
    torch.testing.assert_close(best[0]["state_dict"], best[1]["state_dict"], rtol=0, atol=0)


@pytest.mark.parametrize(
    "often", ["--trainer.val_check_interval=0.4", "--trainer.check_val_every_n_epoch=2"]
)
def test_the_last_checkpoint_of_a_finished_run_has_all_steps(often):
    options = [often, "--trainer.max_epochs=3"]
    for _ in range(2):  # the second run finds it complete
        assert fit("whole", "labels", *options) == 0
        assert digest("whole")["step"] == 3 * LAST


@pytest.mark.parametrize(
    "step",
    [1, LAST, *(pytest.param(step, marks=pytest.mark.slow) for step in (3, LAST - 1, LAST + 2))],
)
def test_a_run_that_ended_in_mid_epoch_can_be_resumed(step, whole):
    plain = "--model.scheduler=null"  # otherwise the schedule would depend on max_steps
    whole("labels", plain)
    assert fit("left", "labels", plain, f"--trainer.max_steps={step}") == 0
    assert digest("left")["step"] == step
    assert fit("left", "labels", plain) == 0
    torch.testing.assert_close(digest("left"), digest("whole"), rtol=0, atol=0)
    ends = [read_metrics(Path("runs/drill", name, "metrics.csv")) for name in ("whole", "left")]
    assert ends[0]["train/loss"][-1] == ends[1]["train/loss"][-1]


def test_an_interrupted_test_is_repeated_by_the_same_command(monkeypatch, capsys):
    monkeypatch.setenv("KICK", f"test {2 * LAST} 0 {int(signal.SIGTERM)}")
    assert fit("left", "labels", "--test=true") == 128 + signal.SIGTERM
    assert not Path("runs/drill/left/confusion_matrix.png").exists()
    assert fit("left", "labels", "--test=true") == 0
    assert Path("runs/drill/left/confusion_matrix.png").exists()


@pytest.mark.parametrize("command", ["validate", "test"])
def test_validate_and_test_exit_on_a_signal(command, whole, monkeypatch, capsys):
    whole()
    kind = "validation-1" if command == "validate" else "test"
    monkeypatch.setenv("KICK", f"{kind} 0 0 {int(signal.SIGTERM)}")
    before = [signal.getsignal(signum) for signum in SIGNALS]
    capsys.readouterr()
    path = "--ckpt_path=runs/drill/whole/checkpoints/last.ckpt"
    kicked = ["--trainer.accelerator=cpu", "--trainer.callbacks+=kicker.Kicker"]
    assert main([command, path, *kicked]) == 128 + signal.SIGTERM
    message = "rnn-lab: preempted by SIGTERM: nothing was saved"
    assert capsys.readouterr().err.splitlines()[-1] == message
    assert [signal.getsignal(signum) for signum in SIGNALS] == before


def test_signal_handlers_are_restored_after_training():
    before = [signal.getsignal(signum) for signum in SIGNALS]
    assert fit("whole") == 0
    assert [signal.getsignal(signum) for signum in SIGNALS] == before


def launched(name, *more, launcher=()):
    """Run in a separate process group; return the exit status and standard error."""
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
def test_a_job_is_requeued_after_all_logs_and_files_are_written(tmp_path, monkeypatch):
    (tmp_path / "scontrol").write_text(SCONTROL)
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("KICK", f"train 2 0 {int(signal.SIGUSR1)}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_NAME", "bash")  # so that Lightning starts the processes itself
    logger = ["--trainer.logger=OfflineWandbLogger", "--trainer.logger.mode=offline"]
    status, errors = launched("left", *logger)
    assert status == -signal.SIGKILL
    left, requeueing = errors.splitlines()[-2:]
    assert left.startswith("rnn-lab: preempted by SIGUSR1: runs/drill/left/checkpoints/last.ckpt")
    assert requeueing == "rnn-lab: requeueing SLURM job 7"
    folder = Path("runs/drill/left")
    assert json.loads((folder / "state.json").read_text())["state"] == "preempted"
    (part,) = folder.glob("wandb/offline-run-*/*.wandb")
    inspect = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", part]
    content = subprocess.run(inspect, check=True, capture_output=True, text=True).stdout
    assert '"type":"exit"' in content.replace(" ", "")


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_two_processes_exit_together_whichever_received_the_signal(rank, monkeypatch):
    two = ["--trainer.strategy=ddp", "--trainer.devices=2", "--data.batch_size=8"]
    assert launched("whole", *two)[0] == 0
    monkeypatch.setenv("KICK", f"train 2 {rank} {int(signal.SIGUSR1)}")
    status, errors = launched("left", *two)
    assert status == 128 + signal.SIGUSR1, errors
    assert errors.count("preempted by SIGUSR1") == 1
    assert "Warning" not in errors
    assert "deprecated" not in errors
    monkeypatch.delenv("KICK")
    assert launched("left", *two)[0] == 0
    same("whole", "left")


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_torchrun_restarts_processes_when_one_is_killed(rank, monkeypatch):
    two = ["-c", str(PROFILES / "torchrun.yaml"), "--data.batch_size=8"]
    torchrun = ["torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    torchrun += ["--max-restarts=2", "--monitor-interval=0.2", "-m"]
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    status, errors = launched("whole", *two, launcher=torchrun)
    assert status == 0, errors
    monkeypatch.setenv("KICK", f"train 7 {rank} {int(signal.SIGKILL)}")
    status, errors = launched("left", *two, launcher=torchrun)
    assert status == 0, errors
    assert errors.count("LSTMClassifier (1,498 parameters) on SyntheticReviews") == 2  # two starts
    same("whole", "left")


@pytest.mark.slow
def test_torchrun_without_the_number_of_processes_is_refused():
    torchrun = ["torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"]
    status, errors = launched("left", "--trainer.devices=auto", launcher=torchrun)
    assert status == 1
    assert errors.count("rnn-lab: torchrun started 2 processes, but the run uses 1: set ") == 1
    assert "--trainer.devices=2 --trainer.num_nodes=1 --trainer.strategy=ddp" in errors
    assert not Path("runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "step"), [("train", 7), ("validation-1", LAST)])
def test_a_killed_run_resumes_from_the_previous_epoch(moment, step, monkeypatch):
    assert launched("whole")[0] == 0
    monkeypatch.setenv("KICK", f"{moment} {step} 0 {int(signal.SIGKILL)}")
    assert launched("left")[0] == -signal.SIGKILL
    monkeypatch.delenv("KICK")
    assert launched("left")[0] == 0
    same("whole", "left")


def test_a_run_without_a_checkpoint_starts_again_by_the_same_command(capsys):
    folder = Path("runs/drill/left")
    prepare_run_dir(folder)
    artifact_path(folder, "metrics.csv").write_text("step,epoch\n")
    artifact_path(folder, "config.yaml").write_text("{}")
    assert fit("left") == 0
    (folder / "checkpoints/last.ckpt").rename(folder / "checkpoints/mine.ckpt")
    (folder / "checkpoints/best.ckpt").unlink()
    assert fit("left") == 1  # another checkpoint is not deleted
    assert "already contains a run" in capsys.readouterr().err


@pytest.mark.slow
def test_a_signal_during_imports_is_not_lost(monkeypatch):
    early = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    Path("early.py").write_text(early)
    code = (
        "import sys, types; import rnn_lab.signals as s; install = s.install_handlers\n"
        "def first():\n    install(); import early\n"
        "s.install_handlers = first\n"
        f"from rnn_lab.__main__ import main; sys.exit(main({words('left')!r}))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 128 + signal.SIGTERM, finished.stderr
    assert Path("runs/drill/left/checkpoints/last.ckpt").exists()
