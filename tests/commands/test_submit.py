"""Batch jobs: the script, its execution, and errors, with a fake SLURM."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rnn_lab.__main__ import main
from rnn_lab.commands import submit as submit_module

REVIEWS = ["--model=LSTMClassifier", "--data=SyntheticReviews"]
DDP = Path(__file__).parents[2] / "configs/trainer/ddp.yaml"
RUN = Path("runs/SyntheticReviews/a")
FAKES = {
    "sbatch": 'echo "$@" >>sbatch.log; cat "${@: -1}" >>sbatch.log; echo "${REFUSES:-}" >&2\n'
    'echo 7; [ -z "$REFUSES" ]',
    "squeue": "cat queue",
    "scontrol": 'echo "$@" >>scontrol.log; echo "JobState=${STATE:-RUNNING} Reason=None"',
    "srun": 'printf "%s\\n" "$@" >srun.log; exit "${STATUS:-0}"',
    "sleep": "true",
}


@pytest.fixture(autouse=True)
def bin(tmp_path, monkeypatch):
    """Create a folder of fake SLURM commands, first on PATH."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, code in FAKES.items():
        (folder / name).write_text(f"#!/bin/bash\n{code}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    for name in [name for name in os.environ if name.startswith(("SLURM_", "RNN_LAB_RUN"))]:
        monkeypatch.delenv(name)
    Path("queue").write_text("")
    return folder


def submit(*args):
    return main(["submit", *map(str, args)])


@pytest.fixture
def script(capsys):
    def write(*args):
        assert submit(*REVIEWS, *args, "--dry-run") == 0
        return capsys.readouterr().out

    return write


@pytest.fixture
def error_of(capsys):
    """Return the error message, of one line, of a submission that fails and writes nothing."""

    def fail(*args):
        before = sorted(Path().rglob("*"))
        try:
            status = submit(*args)
        except SystemExit as stop:
            status = stop.code
        lines = capsys.readouterr().err.splitlines()
        assert status in (1, 2)
        assert len(lines) == 1
        assert sorted(Path().rglob("*")) == before
        return lines[0]

    return fail


def sbatch_options(script):
    """Return the #SBATCH options of a script."""
    lines = re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", script, re.MULTILINE)
    return dict(lines)


def executed(script, **environment):
    """Run a script as SLURM would; return its status and the arguments of srun."""
    environment = {"SLURM_JOB_ID": "7", **environment}
    result = subprocess.run(
        ["bash", "-c", script], env=os.environ | environment, capture_output=True, check=False
    )
    assert result.stderr == b""
    Path("stdout.log").write_bytes(result.stdout)
    return result.returncode, Path("srun.log").read_text().splitlines()


def requeued():
    log = Path("scontrol.log")
    return (
        [line for line in log.read_text().splitlines() if "requeue" in line] if log.exists() else []
    )


def grid(content):
    Path("grid.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return "--array=grid.yaml"


def test_options_become_sbatch_directives(script):
    options = sbatch_options(
        script(
            *("--nodes", 2, "--gpus-per-node", 8, "--time", "12:00:00", "--mem=32G"),
            *("--partition=gpu", "--account", "lab", "--qos=long", "--cpus-per-task=4"),
            *("--signal-before=300", "--sbatch", "--exclusive", "--sbatch=--comment='a b'"),
        )
    )
    log = f"{Path.cwd()}/runs/SyntheticReviews/LSTMClassifier-1/slurm-%j.log"
    assert options == {
        "job-name": "LSTMClassifier-1", "nodes": "2", "ntasks-per-node": "8", "gpus-per-node": "8",
        "cpus-per-task": "4", "mem": "32G", "partition": "gpu", "account": "lab", "qos": "long",
        "time": "12:00:00", "signal": "USR1@300", "requeue": "", "open-mode": "append",
        "output": log, "exclusive": "", "comment": "'a b'",
    }  # fmt: skip


def test_a_dry_run_writes_and_submits_nothing(script):
    before = sorted(Path().rglob("*"))
    assert script("--name=a").startswith("#!/bin/bash\n")
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("args", "size"),
    [
        ([], "1 1 cpu -"),
        (["--gpus-per-node=1"], "1 1 gpu -"),
        (["--gpus_per_node", "a100:2"], "1 2 gpu ddp"),
        (["--gpus-per-node=2", "--sbatch=--gres=gpu:a100:2"], "1 2 gpu ddp"),
        (["-c", "slurm"], "1 1 cpu -"),
        (["--nodes=2"], "2 1 cpu ddp"),
        (["--nodes=2", "--gpus-per-node=4"], "2 4 gpu ddp"),
        (["--tasks-per-node=3", "--trainer.devices=3"], "1 3 cpu ddp"),
        (["--nodes=2", "--trainer.strategy=ddp_find_unused_parameters_true"],
         "2 1 cpu ddp_find_unused_parameters_true"),
        (["-c", DDP, "--nodes=2"], "2 1 cpu -"),  # the strategy comes from the config file
    ],
)  # fmt: skip
def test_the_trainer_uses_the_resources_of_the_job(args, size, script):
    _, arguments = executed(script(*args))
    values = dict(arg.removeprefix("--").split("=", 1) for arg in arguments if "--trainer." in arg)
    names = ("num_nodes", "devices", "accelerator", "strategy")
    assert " ".join(values.get(f"trainer.{name}", "-") for name in names) == size


def test_options_of_fit_are_passed_unchanged(script):
    odd = "--checkpoint.dirpath=a $b 'c' \"d\" *"
    status, arguments = executed(script(odd, "--seed_everything", 7, "--name", "a", "--test=true"))
    assert status == 0
    command = arguments[arguments.index(sys.executable) :]
    assert command[:4] == [sys.executable, "-m", "rnn_lab", "fit"]
    assert {odd, "--seed_everything", "7", "--name=a", "--test=true", *REVIEWS} <= {*command}
    assert command.count("--ckpt_path=last") == 1


def test_the_script_runs_in_the_folder_of_submission_after_the_setup_commands(script, monkeypatch):
    text = script("--setup", "export A=1", "--setup=B=$A; pwd >here; echo $B >b")
    Path("elsewhere").mkdir()
    assert executed(f"cd elsewhere; {text}")[0] == 0
    assert Path("here").read_text().strip() == str(Path.cwd())
    assert Path("b").read_text() == "1\n"


@pytest.mark.parametrize(
    ("status", "restarts", "state", "requeues"),
    [
        (0, 0, "RUNNING", False),
        (1, 0, "RUNNING", False),
        (2, 0, "RUNNING", False),
        (137, 0, "RUNNING", True),
        (139, 2, "RUNNING", True),
        (137, 3, "RUNNING", False),
        (143, 0, "COMPLETING", False),  # cancelled, or requeued already
    ],
)
def test_a_killed_job_is_requeued_a_limited_number_of_times(
    status, restarts, state, requeues, script
):
    environment = {"STATUS": str(status), "SLURM_RESTART_COUNT": str(restarts), "STATE": state}
    text = script("--name=a")
    message = f"A process was killed (status {status}), requeueing job 7."
    assert executed(text, **environment)[0] == status
    assert requeued() == ["requeue 7"] * requeues
    assert Path("stdout.log").read_text().splitlines() == [message] * requeues


def test_without_retries_nothing_is_requeued(script):
    executed(script("--retries=0"), STATUS="137")
    assert requeued() == []


def test_signals_do_not_terminate_the_script(script, bin):
    (bin / "srun").write_text("#!/bin/bash\nkill -USR1 $PPID; kill -TERM $PPID; echo >srun.log")
    assert executed(script())[0] == 0


def test_each_task_of_an_array_trains_with_its_values(script):
    array = grid({"model.hidden_dim": [8, 16], "test": [True, False]})
    text = script(array, "--at-once=3", "--name=g")
    assert sbatch_options(text)["array"] == "0-3%3"
    assert sbatch_options(text)["output"].endswith("runs/SyntheticReviews/g/slurm-%A_%a.log")
    environment = {"SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "2", "STATUS": "137"}
    _, arguments = executed(text, **environment)
    expected = {"--model.hidden_dim=16", "--test=true"}
    assert expected | {"--name=g-hidden_dim=16-test=true"} <= {*arguments}
    assert requeued() == ["requeue 5_2"]


def test_an_array_can_be_a_list_of_runs(script):
    points = [{"model.hidden_dim": 8}, {"model.hidden_dim": 16, "data.batch_size": 4}]
    cases = re.findall(r"^  (\d)\) options=\((.*)\) ;;$", script(grid(points)), re.MULTILINE)
    options = [shlex.split(case) for _, case in cases]
    assert options[0] == ["--model.hidden_dim=8", "--name=LSTMClassifier-1-hidden_dim=8"]
    assert options[1][2] == "--name=LSTMClassifier-1-hidden_dim=16-batch_size=4"


def test_script_and_job_id_are_saved_with_the_run(capsys):
    assert submit(*REVIEWS, "--name=a") == 0
    output = capsys.readouterr().out
    assert "job 7" in output
    assert f"{RUN}/submit.sh" in output
    assert f"{RUN}/slurm-7.log" in output
    assert {path.name for path in RUN.iterdir()} == {"submit.sh", "submit.json"}
    submission = json.loads((RUN / "submit.json").read_text())
    assert (submission["job"], submission["log"]) == ("7", "slurm-7.log")
    assert (RUN / "submit.sh").read_text() in Path("sbatch.log").read_text()


def test_the_job_ids_of_an_array_are_saved_with_their_runs():
    assert submit(*REVIEWS, "--name=a", grid({"model.hidden_dim": [8, 16]})) == 0
    assert {path.name for path in RUN.iterdir()} == {"submit.sh"}
    second = Path("runs/SyntheticReviews/a-hidden_dim=16/submit.json")
    submission = json.loads(second.read_text())
    assert (submission["job"], submission["log"]) == ("7_1", "../a/slurm-7_1.log")


def test_runs_without_a_name_are_numbered_even_inside_a_job(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "3")
    for _ in range(2):
        assert submit(*REVIEWS) == 0
    names = {path.name for path in RUN.parent.iterdir()}
    assert names == {"LSTMClassifier-1", "LSTMClassifier-2"}


@pytest.mark.parametrize("array", [False, True])
def test_submissions_at_the_same_time_take_different_numbers(array, monkeypatch):
    more = [grid({"model.hidden_dim": [8, 16]})] if array else []
    check, second = submit_module.check_not_running, []

    def submit_another(folder):  # while the first submission is not finished
        if not second:
            second.append(folder)
            assert submit(*REVIEWS) == 0
        check(folder)

    monkeypatch.setattr(submit_module, "check_not_running", submit_another)
    assert submit(*REVIEWS, *more) == 0
    scripts = {path.parent.name for path in RUN.parent.glob("*/submit.sh")}
    assert scripts == {"LSTMClassifier-1", "LSTMClassifier-2"}
    assert not list(RUN.parent.glob("*/.run.lock"))


def test_a_submitted_job_can_start_resume_and_overwrite_its_run(capsys):
    args = [*REVIEWS, "--data.train_size=32", "--data.valid_size=16", "--trainer.max_epochs=1"]
    assert submit(*args, "--name=a") == 0
    (RUN / "slurm-7.log").write_text("started\n")
    assert main(["fit", *args, "--name=a", "--ckpt_path=last", "--trainer.accelerator=cpu"]) == 0
    assert {"submit.sh", "submit.json", "slurm-7.log", "checkpoints", "state.json"} <= {
        path.name for path in RUN.iterdir()
    }
    capsys.readouterr()
    assert submit(*args, "--name=a") == 0
    assert f"resumes from {RUN}/checkpoints/last.ckpt" in capsys.readouterr().out
    assert (RUN / "checkpoints").exists()
    assert submit(*args, "--name=a", "--overwrite=true") == 0
    assert not any((RUN / name).exists() for name in ("checkpoints", "state.json"))
    assert "--overwrite=false" in (RUN / "submit.sh").read_text()


def test_a_run_with_init_from_can_be_resumed():
    args = [*REVIEWS, "--data.train_size=32", "--data.valid_size=16", "--trainer.accelerator=cpu"]
    assert main(["fit", *args, "--name=first", "--trainer.max_epochs=1"]) == 0
    args += [f"--init_from={RUN.with_name('first')}/checkpoints/best.ckpt", "--ckpt_path=last"]
    for epochs in (1, 2):
        assert main(["fit", *args, "--name=a", f"--trainer.max_epochs={epochs}"]) == 0
    assert json.loads((RUN / "state.json").read_text())["epoch"] == 2


@pytest.mark.parametrize(
    ("args", "gpus"),
    [
        (["--gpus-per-node=4"], {"gpus-per-node": "4"}),
        (["--gpus-per-node=a100:4"], {"gpus-per-node": "a100:4"}),
        (["--gpus-per-node=4", "--sbatch", "--gres gpu:4"], {"gres": "gpu:4"}),
        ([], {}),
    ],
)
def test_gpus_are_requested_once(args, gpus, script):
    options = sbatch_options(script(*args).replace("--gres gpu", "--gres=gpu"))
    assert {name: options[name] for name in ("gpus-per-node", "gres") if name in options} == gpus


def test_options_of_submit_may_be_spelled_with_underscores(capsys):
    assert submit(*REVIEWS, "--tasks_per_node=2", "--signal_before", 60, "--dry_run") == 0
    options = sbatch_options(capsys.readouterr().out)
    assert (options["ntasks-per-node"], options["signal"]) == ("2", "USR1@60")


@pytest.mark.parametrize("job", ["7 PENDING", "7 RUNNING"])
def test_a_run_with_a_queued_or_running_job_is_not_submitted(job, error_of):
    assert submit(*REVIEWS, "--name=a") == 0
    Path("queue").write_text(f"{job}\n")
    assert "scancel 7" in error_of(*REVIEWS, "--name=a")


def test_the_error_message_of_sbatch_is_shown(error_of, monkeypatch):
    monkeypatch.setenv("REFUSES", "sbatch: error: invalid partition")
    Path("sbatch.log").touch()
    Path("runs/SyntheticReviews").mkdir(parents=True)
    assert "invalid partition" in error_of(*REVIEWS, "--partition=none")


def test_without_slurm_the_script_can_be_printed(error_of, script, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert "--dry-run" in error_of(*REVIEWS)
    assert script()


def test_the_settings_of_the_enclosing_job_are_not_passed_on(bin, monkeypatch):
    (bin / "sbatch").write_text("#!/bin/bash\nexport -p >environment; echo 7")
    for name in ("SLURM_JOB_ID", "SLURM_CPUS_PER_TASK", "SLURM_CONF"):
        monkeypatch.setenv(name, "3")
    assert submit(*REVIEWS) == 0
    environment = Path("environment").read_text()
    assert "SLURM_CONF" in environment
    assert not re.search("SLURM_JOB_ID|SLURM_CPUS_PER_TASK|RNN_LAB_RUN", environment)


def test_the_run_directory_may_be_any_path(script):
    options = sbatch_options(script("--trainer.default_root_dir=my runs/a%b c"))
    assert options["job-name"] == '"a%b c"'
    assert options["output"] == f'"{Path.cwd()}/my runs/a%%b c/slurm-%j.log"'


def test_job_names_that_disable_slurm_are_avoided(script):
    assert sbatch_options(script("--name=bash"))["job-name"] == "rnn-bash"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([*REVIEWS, "--nodes=0"], "--nodes must be at least 1, got 0"),
        ([*REVIEWS, "--nodes=two"], "--nodes"),
        ([*REVIEWS, "--node=2"], "node"),
        ([*REVIEWS, "--nodes"], "--nodes"),
        ([*REVIEWS, "--gpus-per-node=2", "--tasks-per-node=1"], "remove --tasks-per-node"),
        ([*REVIEWS, "--gpus-per-node=many"], "--gpus-per-node must be a number such as 4"),
        ([*REVIEWS, "--sbatch=--gres=gpu:2"], "the job would train on CPUs"),
        ([*REVIEWS, "--sbatch", "-t 1"], "--sbatch=-t 1: give --time instead"),
        ([*REVIEWS, "-c", "gpu"], "contradicts --gpus-per-node=0: give --gpus-per-node=NUMBER"),
        ([*REVIEWS, "-c", "cpu", "--gpus-per-node=2"], "contradicts --gpus-per-node=2: remove it"),
        ([*REVIEWS, "--tim=10"], "unknown option --tim: did you mean --time?"),
        ([*REVIEWS, "--dependency=afterok:1"], "those of sbatch follow --sbatch"),
        ([*REVIEWS, "--seed=3"], "unknown option --seed: give --seed_everything"),
        ([*REVIEWS, "--at-once=2"], "give --array=FILE"),
        ([*REVIEWS, "--time=1:00"], "--time=1:00 are 60 s, but training ends 120 s before"),
        ([*REVIEWS, "--time=soon"], "--time=soon is no time limit such as 90 (minutes)"),
        ([*REVIEWS, "--gpus-per-node=2", "--trainer.devices=4"], "--trainer.devices=4 contradicts"),
        ([*REVIEWS, "--nodes=2", "--trainer.num_nodes", "1"], "remove it"),
        ([*REVIEWS, "--trainer.accelerator=gpu"], "--trainer.accelerator=gpu contradicts"),
        ([*REVIEWS, "--trainer.fast_dev_run=true"], "fast_dev_run"),
        ([*REVIEWS, "--name=../a"], "--name must be a plain name"),
        ([*REVIEWS, "--trainer.max_epochs=many"], "--trainer.max_epochs must be int"),
        ([*REVIEWS, "--model.hiden_dim=8"], "LSTMClassifier has no argument hiden_dim"),
        ([*REVIEWS, "-c", "nowhere.yaml"], "nowhere.yaml"),
        ([*REVIEWS, "--array=nowhere.yaml"], "nowhere.yaml cannot be read"),
        ([*REVIEWS, "--data.batch_size=0"], "batch_size must be at least 1"),
        (["--model=LSTMClassifier"], "give --data=NAME"),
        (["--model=LSTMClassifier", "--data=TextFiles"], "set --data.train=FILE"),
        (["--model=LSTMClassifier", "--data=TextFiles", "--data.train=no.csv"],
         "no.csv does not exist"),
    ],
)  # fmt: skip
def test_an_invalid_submission_is_reported_and_writes_nothing(args, message, error_of):
    assert message in error_of(*args)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "contains no runs"),
        ([], "contains no runs"),
        ("model", "contains no runs"),
        ({"model.hidden_dim": 8}, "model.hidden_dim must be a list of values, got 8"),
        ({"model.hidden_dim": []}, "must be a list of values"),
        (["model.hidden_dim"], "each entry of the list"),
        ({"model.hidden_dim": [8, 8]}, "the same name"),
        ({"model.hidden_dim": [8], "nodes": [2]}, "nodes"),
        ({"model.hiden_dim": [8]}, "hiden_dim"),
        ({"model.hidden_dim": [8, "many"]}, "many"),
        ({"name": ["a", "b"]}, "name cannot vary between runs"),
        ({"trainer.devices": [2]}, "--trainer.devices=2 contradicts"),
        ({"checkpoint.dirpath": ["x" * 200]}, "too long"),
    ],
)
def test_an_invalid_array_is_reported(content, message, error_of):
    assert message in error_of(*REVIEWS, grid(content))


def test_the_runs_of_an_array_cannot_share_a_directory(error_of):
    args = [*REVIEWS, grid({"model.hidden_dim": [8]}), "--trainer.default_root_dir=here"]
    assert "cannot share here" in error_of(*args)


def test_setup_with_an_error_of_syntax_is_refused(error_of):
    assert "the script is not valid bash, check --setup" in error_of(
        *REVIEWS, "--setup", "echo 'open"
    )
