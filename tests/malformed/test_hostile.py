"""Hostile checkpoints and tokenizers are refused in one line, with bounded memory and time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hostile import MAX_SECONDS, MUTATIONS, NAMES, write_all
from malformed import FIT, checkpoint_of, fit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SUPPORT = Path(__file__).parents[1] / "support"


def child(*args, commands=None):
    """Run `hostile.py`; return what it prints, one result for each child process."""
    script = [sys.executable, "-W", "ignore", str(SUPPORT / "hostile.py"), *map(str, args)]
    result = subprocess.run(
        script, input=json.dumps(commands), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def contents(folder):
    """The contents of checkpoints with a vocabulary of words and of subwords, by name."""
    options = ["--data.tokenizer.kind=bpe", "--data.tokenizer.max_vocab_size=60"]
    run_dir = f"--trainer.default_root_dir={folder}/subwords"
    assert fit(folder / "good/a.csv", "a.csv", *options, run_dir) == (0, [])
    paths = {
        "words": checkpoint_of(folder, "a.csv"),
        "subwords": folder / "subwords/checkpoints/last.ckpt",
    }
    return {name: torch.load(path, weights_only=True) for name, path in paths.items()}


@pytest.fixture(scope="module")
def results(folder, contents, tmp_path_factory):
    """The results of `predict` and `test` on every hostile checkpoint, by command and name."""
    hostile, texts = tmp_path_factory.mktemp("hostile"), folder / "good/a.csv"
    paths = list(write_all(contents["words"], contents["subwords"], hostile))
    assert [path.stem for path in paths] == NAMES
    assert max(path.stat().st_size for path in paths) < 8 << 20
    commands = {
        **{("predict", path.stem): ["predict", f"--ckpt_path={path}", f"--input={texts}"]
           for path in paths},
        **{("test", path.stem): ["test", f"--ckpt_path={path}", f"--data.test={texts}", *FIT[1:]]
           for path in paths},
    }  # fmt: skip
    done = child("commands", tmp_path_factory.mktemp("work"), commands=list(commands.values()))
    return dict(zip(commands, done, strict=True))


@pytest.mark.parametrize("command", ["predict", "test"])
@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_checkpoint_costs_one_line_and_little_memory_and_time(name, command, results):
    result = results[command, name]
    assert result["status"] == 0, "the process was ended by the limit of memory or time"
    status, lines = result["result"]
    assert status == 1, lines
    (line,) = lines
    assert line.startswith("rnn-lab: ")
    assert f"{name}.ckpt" in line
    assert result["seconds"] < MAX_SECONDS
    assert result["megabytes"] < 1000


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutations_are_answered_or_refused_by_the_error_of_the_package(name, contents, tmp_path):
    torch.save(contents["subwords" if name == "tokenizer" else "words"], tmp_path / "good.ckpt")
    (result,) = child(name, tmp_path, 300)
    assert result["status"] == 0, "the process was ended by the limit of memory or time"
    outcomes = result["result"]
    assert [line for line in outcomes if line.startswith("NOT REFUSED")] == []
    assert sum(line.startswith("refused") for line in outcomes) > 100
    assert result["megabytes"] < 2000
