"""The batch script of a SLURM job."""

import shlex
import subprocess
from argparse import Namespace
from pathlib import Path

import pytest

from rnn_lab.commands._batch_script import script
from rnn_lab.commands._dry_run import Plan, Run
from rnn_lab.errors import UserError

ODD = [["--a", "b c"], ["--d=$HOME `date` 'x' \"y\""], ["--e=*"]]


def arguments(**options):
    fixed = dict.fromkeys(["array", "at_once", "cpus_per_task", "mem", "partition", "account"])
    fixed |= dict(qos=None, time=None, nodes=1, tasks_per_node=1, gpus_per_node=0)
    fixed |= dict(gpu_type="", gpus_by_sbatch=False)
    fixed |= dict(signal_before=120, retries=3, setup=[], sbatch=[])
    return Namespace(**(fixed | options))


def plan(*options, folder="runs/e/a"):
    runs = [Run(Path(folder), each, "", False) for each in options]
    return Plan(Path(folder), [["--model=M"]], runs)


@pytest.mark.parametrize("array", [None, "grid.yaml"])
def test_the_script_is_valid_bash(array):
    text = script(arguments(array=array, setup=["module load cuda"]), plan(ODD, ODD))
    result = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=True)
    assert result.stderr == ""


def test_options_are_quoted():
    text = script(arguments(), plan(ODD)).partition("-m rnn_lab fit")[2].partition("status=")[0]
    assert shlex.split(text.replace("\\\n", "")) == ["--model=M", *(arg for o in ODD for arg in o)]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"nodes": 2}, "#SBATCH --nodes=2"),
        ({"time": "12:00:00"}, "#SBATCH --time=12:00:00"),
        ({"array": "a.yaml"}, "#SBATCH --array=0-1"),
        ({"array": "a.yaml", "at_once": 3}, "#SBATCH --array=0-1%3"),
        ({"signal_before": 60}, "#SBATCH --signal=USR1@60"),
        ({"account": "a b"}, '#SBATCH --account="a b"'),
        ({"sbatch": ["--exclusive"]}, "#SBATCH --exclusive"),
        ({"gpus_per_node": 4}, "#SBATCH --gpus-per-node=4"),
        ({"gpus_per_node": 4, "gpu_type": "a100"}, "#SBATCH --gpus-per-node=a100:4"),
    ],
)
def test_options_become_directives(options, line):
    assert line in script(arguments(**options), plan([], [])).splitlines()


def test_unset_options_have_no_directive():
    text = script(arguments(), plan([]))
    assert not any(f"#SBATCH --{name}" in text for name in ("mem", "gpus-per-node", "array"))


@pytest.mark.parametrize(
    ("options", "folder"),
    [
        ({"mem": "1G\ntouch x"}, "runs/e/a"),
        ({"partition": "a\rb"}, "runs/e/a"),
        ({"account": 'a" b'}, "runs/e/a"),
        ({"sbatch": ["--exclusive\ntouch x"]}, "runs/e/a"),
        ({}, "runs/e\ntouch x/a"),
        ({}, 'runs/e"/a'),
    ],
)
def test_no_value_becomes_a_line_of_the_script(options, folder):
    with pytest.raises(UserError, match="must not contain"):
        script(arguments(**options), plan([], folder=folder))


def test_a_working_folder_with_a_line_break_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a\ntouch x").mkdir()
    monkeypatch.chdir(tmp_path / "a\ntouch x")
    with pytest.raises(UserError, match="the working folder must not contain a line break"):
        script(arguments(), plan([], folder="/runs/a"))


def test_a_failing_setup_ends_the_job(tmp_path):
    text = script(arguments(setup=["false", "touch reached"]), plan([]))
    assert subprocess.run(["bash"], input=text, text=True, check=False, cwd=tmp_path).returncode
    assert "set +e" in text.splitlines()
    assert not Path("reached").exists()
