"""Jobs for SLURM: what the script asks for and does, what is refused. The SLURM here is a fake."""

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
    """A folder of fake commands, first on PATH; there is no other SLURM."""
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


def submit(*words):
    return main(["submit", *map(str, words)])


@pytest.fixture
def script(capsys):
    def write(*words):
        assert submit(*REVIEWS, *words, "--dry-run") == 0
        return capsys.readouterr().out

    return write


@pytest.fixture
def refused(capsys):
    """The one line of a refusal, which leaves nothing behind."""

    def refuse(*words):
        before = sorted(Path().rglob("*"))
        try:
            status = submit(*words)
        except SystemExit as stop:
            status = stop.code
        lines = capsys.readouterr().err.splitlines()
        assert status in (1, 2)
        assert len(lines) == 1
        assert sorted(Path().rglob("*")) == before
        return lines[0]

    return refuse


def asked(script):
    """The options that SLURM reads in a script."""
    lines = re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", script, re.MULTILINE)
    return dict(lines)


def executed(script, **environment):
    """Run a script as SLURM would; its status, and what srun was given."""
    environment = {"SLURM_JOB_ID": "7", **environment}
    finished = subprocess.run(
        ["bash", "-c", script], env=os.environ | environment, capture_output=True, check=False
    )
    assert finished.stderr == b""
    return finished.returncode, Path("srun.log").read_text().splitlines()


def requeued():
    log = Path("scontrol.log")
    return (
        [line for line in log.read_text().splitlines() if "requeue" in line] if log.exists() else []
    )


def grid(content):
    Path("grid.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return "--array=grid.yaml"


def test_slurm_is_asked_for_what_was_given(script):
    options = asked(
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
    ("words", "size"),
    [
        ([], "1 1 cpu -"),
        (["--gpus-per-node=1"], "1 1 gpu -"),
        (["--nodes=2"], "2 1 cpu ddp"),
        (["--nodes=2", "--gpus-per-node=4"], "2 4 gpu ddp"),
        (["--tasks-per-node=3", "--trainer.devices=3"], "1 3 cpu ddp"),
        (["--nodes=2", "--trainer.strategy=ddp_find_unused_parameters_true"],
         "2 1 cpu ddp_find_unused_parameters_true"),
        (["-c", DDP, "--nodes=2"], "2 1 cpu -"),  # the line overrules files; they give a strategy
    ],
)  # fmt: skip
def test_training_is_as_large_as_the_job(words, size, script):
    _, given = executed(script(*words))
    values = dict(word.removeprefix("--").split("=", 1) for word in given if "--trainer." in word)
    names = ("num_nodes", "devices", "accelerator", "strategy")
    assert " ".join(values.get(f"trainer.{name}", "-") for name in names) == size


def test_options_of_fit_arrive_as_they_were_given(script):
    odd = "--checkpoint.dirpath=a $b 'c' \"d\" *"
    status, given = executed(script(odd, "--seed_everything", 7, "--name", "a", "--test=true"))
    assert status == 0
    command = given[given.index(sys.executable) :]
    assert command[:4] == [sys.executable, "-m", "rnn_lab", "fit"]
    assert {odd, "--seed_everything", "7", "--name=a", "--test=true", *REVIEWS} <= {*command}
    assert command.count("--ckpt_path=last") == 1


def test_the_script_goes_where_it_was_submitted_and_runs_the_lines_of_setup(script, monkeypatch):
    text = script("--setup", "export A=1", "--setup=B=$A; pwd >here; echo $B >b")
    Path("elsewhere").mkdir()
    assert executed(f"cd elsewhere; {text}")[0] == 0
    assert Path("here").read_text().strip() == str(Path.cwd())
    assert Path("b").read_text() == "1\n"


@pytest.mark.parametrize(
    ("status", "restarts", "state", "again"),
    [
        (0, 0, "RUNNING", False),
        (1, 0, "RUNNING", False),
        (2, 0, "RUNNING", False),
        (137, 0, "RUNNING", True),
        (139, 2, "RUNNING", True),
        (137, 3, "RUNNING", False),
        (143, 0, "COMPLETING", False),  # cancelled, or put back already
    ],
)
def test_a_killed_job_is_put_back_for_some_times(status, restarts, state, again, script):
    environment = {"STATUS": str(status), "SLURM_RESTART_COUNT": str(restarts), "STATE": state}
    assert executed(script("--name=a"), **environment)[0] == status
    assert requeued() == ["requeue 7"] * again


def test_without_retries_nothing_is_put_back(script):
    executed(script("--retries=0"), STATUS="137")
    assert requeued() == []


def test_a_signal_for_training_does_not_end_the_script(script, bin):
    (bin / "srun").write_text("#!/bin/bash\nkill -USR1 $PPID; kill -TERM $PPID; echo >srun.log")
    assert executed(script())[0] == 0


def test_each_element_of_an_array_trains_with_its_values(script):
    array = grid({"model.hidden_dim": [8, 16], "test": [True, False]})
    text = script(array, "--at-once=3", "--name=g")
    assert asked(text)["array"] == "0-3%3"
    assert asked(text)["output"].endswith("runs/SyntheticReviews/g/slurm-%A_%a.log")
    environment = {"SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "2", "STATUS": "137"}
    _, given = executed(text, **environment)
    wanted = {"--model.hidden_dim=16", "--test=true"}
    assert wanted | {"--name=g-hidden_dim=16-test=true"} <= {*given}
    assert requeued() == ["requeue 5_2"]


def test_an_array_can_be_written_out(script):
    elements = [{"model.hidden_dim": 8}, {"model.hidden_dim": 16, "data.batch_size": 4}]
    cases = re.findall(r"^  (\d)\) options=\((.*)\) ;;$", script(grid(elements)), re.MULTILINE)
    words = [shlex.split(case) for _, case in cases]
    assert words[0] == ["--model.hidden_dim=8", "--name=LSTMClassifier-1-hidden_dim=8"]
    assert words[1][2] == "--name=LSTMClassifier-1-hidden_dim=16-batch_size=4"


def test_the_job_lies_with_its_run(capsys):
    assert submit(*REVIEWS, "--name=a") == 0
    told = capsys.readouterr().out
    assert "job 7" in told
    assert f"{RUN}/submit.sh" in told
    assert f"{RUN}/slurm-7.log" in told
    assert {path.name for path in RUN.iterdir()} == {"submit.sh", "submit.json"}
    assert json.loads((RUN / "submit.json").read_text())["job"] == "7"
    assert (RUN / "submit.sh").read_text() in Path("sbatch.log").read_text()


def test_the_jobs_of_an_array_lie_with_their_runs():
    assert submit(*REVIEWS, "--name=a", grid({"model.hidden_dim": [8, 16]})) == 0
    assert {path.name for path in RUN.iterdir()} == {"submit.sh"}
    second = Path("runs/SyntheticReviews/a-hidden_dim=16/submit.json")
    assert json.loads(second.read_text())["job"] == "7_1"


def test_runs_without_a_name_are_numbered_inside_a_job_too(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "3")
    for _ in range(2):
        assert submit(*REVIEWS) == 0
    found = {path.name for path in RUN.parent.iterdir()}
    assert found == {"LSTMClassifier-1", "LSTMClassifier-2"}


def test_what_a_submission_leaves_is_no_run_to_fit(capsys):
    words = [*REVIEWS, "--data.train_size=32", "--data.valid_size=16", "--trainer.max_epochs=1"]
    assert submit(*words, "--name=a") == 0
    (RUN / "slurm-7.log").write_text("it begins\n")
    assert main(["fit", *words, "--name=a", "--ckpt_path=last", "--trainer.accelerator=cpu"]) == 0
    assert {"submit.sh", "submit.json", "slurm-7.log", "checkpoints", "state.json"} <= {
        path.name for path in RUN.iterdir()
    }
    capsys.readouterr()
    assert submit(*words, "--name=a") == 0
    assert f"goes on from {RUN}/checkpoints/last.ckpt" in capsys.readouterr().out
    assert (RUN / "checkpoints").exists()
    assert submit(*words, "--name=a", "--overwrite=true") == 0
    assert not any((RUN / name).exists() for name in ("checkpoints", "state.json"))
    assert "--overwrite=false" in (RUN / "submit.sh").read_text()


def test_weights_to_start_from_do_not_hinder_going_on():
    words = [*REVIEWS, "--data.train_size=32", "--data.valid_size=16", "--trainer.accelerator=cpu"]
    assert main(["fit", *words, "--name=first", "--trainer.max_epochs=1"]) == 0
    words += [f"--init_from={RUN.with_name('first')}/checkpoints/best.ckpt", "--ckpt_path=last"]
    for epochs in (1, 2):
        assert main(["fit", *words, "--name=a", f"--trainer.max_epochs={epochs}"]) == 0
    assert json.loads((RUN / "state.json").read_text())["epoch"] == 2


@pytest.mark.parametrize("job", ["7 PENDING", "7 RUNNING"])
def test_a_run_is_not_submitted_while_its_job_is_there(job, refused):
    assert submit(*REVIEWS, "--name=a") == 0
    Path("queue").write_text(f"{job}\n")
    assert "scancel 7" in refused(*REVIEWS, "--name=a")


def test_sbatch_says_why_it_refuses(refused, monkeypatch):
    monkeypatch.setenv("REFUSES", "sbatch: error: invalid partition")
    Path("sbatch.log").touch()
    Path("runs/SyntheticReviews").mkdir(parents=True)
    assert "invalid partition" in refused(*REVIEWS, "--partition=none")


def test_without_slurm_the_script_can_still_be_seen(refused, script, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert "--dry-run" in refused(*REVIEWS)
    assert script()


def test_the_options_of_sbatch_that_a_job_was_given_are_not_handed_on(bin, monkeypatch):
    (bin / "sbatch").write_text("#!/bin/bash\nexport -p >environment; echo 7")
    for name in ("SLURM_JOB_ID", "SLURM_CPUS_PER_TASK", "SLURM_CONF"):
        monkeypatch.setenv(name, "3")
    assert submit(*REVIEWS) == 0
    handed_on = Path("environment").read_text()
    assert "SLURM_CONF" in handed_on
    assert not re.search("SLURM_JOB_ID|SLURM_CPUS_PER_TASK|RNN_LAB_RUN", handed_on)


def test_a_run_can_lie_anywhere(script):
    options = asked(script("--trainer.default_root_dir=my runs/a%b c"))
    assert options["job-name"] == '"a%b c"'
    assert options["output"] == f'"{Path.cwd()}/my runs/a%%b c/slurm-%j.log"'


def test_no_job_has_a_name_that_turns_slurm_off(script):
    assert asked(script("--name=bash"))["job-name"] == "rnn-bash"


@pytest.mark.parametrize(
    ("words", "wish"),
    [
        ([*REVIEWS, "--nodes=0"], "--nodes must be at least 1, got 0"),
        ([*REVIEWS, "--nodes=two"], "--nodes"),
        ([*REVIEWS, "--node=2"], "node"),
        ([*REVIEWS, "--nodes"], "--nodes"),
        ([*REVIEWS, "--gpus-per-node=2", "--tasks-per-node=1"], "leave --tasks-per-node out"),
        ([*REVIEWS, "--at-once=2"], "give --array=FILE"),
        ([*REVIEWS, "--gpus-per-node=2", "--trainer.devices=4"], "--trainer.devices=4 contradicts"),
        ([*REVIEWS, "--nodes=2", "--trainer.num_nodes", "1"], "leave it out"),
        ([*REVIEWS, "--trainer.accelerator=gpu"], "--trainer.accelerator=gpu contradicts"),
        ([*REVIEWS, "--trainer.fast_dev_run=true"], "fast_dev_run"),
        ([*REVIEWS, "--name=../a"], "--name must be a plain name"),
        ([*REVIEWS, "--trainer.max_epochs=many"], "--trainer.max_epochs takes int"),
        ([*REVIEWS, "--model.hiden_dim=8"], "LSTMClassifier has no hiden_dim"),
        ([*REVIEWS, "-c", "nowhere.yaml"], "nowhere.yaml"),
        ([*REVIEWS, "--array=nowhere.yaml"], "nowhere.yaml cannot be read"),
        ([*REVIEWS, "--data.batch_size=0"], "batch_size must be at least 1"),
        (["--model=LSTMClassifier"], "give --data=NAME"),
        (["--model=LSTMClassifier", "--data=TextFiles"], "give --data.train=FILE"),
        (["--model=LSTMClassifier", "--data=TextFiles", "--data.train=no.csv"],
         "no.csv does not exist"),
    ],
)  # fmt: skip
def test_a_mistake_costs_one_line_and_leaves_nothing(words, wish, refused):
    assert wish in refused(*words)


@pytest.mark.parametrize(
    ("content", "wish"),
    [
        ({}, "holds no runs"),
        ([], "holds no runs"),
        ("model", "holds no runs"),
        ({"model.hidden_dim": 8}, "model.hidden_dim takes a list of values, got 8"),
        ({"model.hidden_dim": []}, "takes a list of values"),
        (["model.hidden_dim"], "each entry of the list"),
        ({"model.hidden_dim": [8, 8]}, "the same name"),
        ({"model.hidden_dim": [8], "nodes": [2]}, "nodes"),
        ({"model.hiden_dim": [8]}, "hiden_dim"),
        ({"model.hidden_dim": [8, "many"]}, "many"),
        ({"name": ["a", "b"]}, "name is the same for all runs"),
        ({"trainer.devices": [2]}, "--trainer.devices=2 contradicts"),
        ({"checkpoint.dirpath": ["x" * 200]}, "too long"),
    ],
)
def test_an_array_that_cannot_be_is_refused(content, wish, refused):
    assert wish in refused(*REVIEWS, grid(content))


def test_the_runs_of_an_array_share_no_folder(refused):
    words = [*REVIEWS, grid({"model.hidden_dim": [8]}), "--trainer.default_root_dir=here"]
    assert "cannot share here" in refused(*words)
