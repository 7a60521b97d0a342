"""Invalid configs are refused in one line; nothing is executed or written."""

import gzip
from pathlib import Path

import pytest
from malformed import noise, refused, run

pytestmark = pytest.mark.slow

CONFIG = """
model: {class_path: LSTMClassifier, init_args: {embedding_dim: 4, hidden_dim: 4}}
data: {class_path: TextFiles, init_args: {train: ../good/a.csv, valid: ../good/a.csv}}
trainer: {max_epochs: 1, accelerator: cpu, enable_progress_bar: false}
"""
CALL = "os.system ['touch ../marker']"
SYSTEM = "{class_path: os.system, init_args: {command: touch ../marker}}"
CONFIGS = {
    "empty": "",
    "a word": "train",
    "a number": "3",
    "a list": "- model\n- data\n",
    "zero bytes": "\0\0\0",
    "an open bracket": "model: {class_path: LSTMClassifier",
    "a tab": "model:\n\tclass_path: LSTMClassifier\n",
    "an unknown anchor": "model: *absent",
    "a recursive list": "model: &a [*a]",
    "an unknown tag": "model: !absent 3",
    "a python call": f"!!python/object/apply:{CALL}",
    "a python call in a value": f"{CONFIG}name: !!python/object/apply:{CALL}\n",
    "a python object": "model: !!python/object/new:os.system ['touch ../marker']",
    "a python name": "model: !!python/name:os.system",
    "a python module": "model: !!python/module:antigravity",
    "a function as callback": CONFIG.replace("max_epochs", f"callbacks: [{SYSTEM}], max_epochs"),
    "a function as optimizer": CONFIG.replace("4}}", "4, optimizer: os.system}}"),
    "an unknown key": f"{CONFIG}color: red\n",
    "an unknown part of the model": CONFIG.replace("hidden_dim", "hidden_dims"),
    "an unknown part of the data": CONFIG.replace("valid", "validation"),
    "an unknown part of the trainer": CONFIG.replace("max_epochs", "epochs"),
    "not a number": CONFIG.replace("max_epochs: 1", "max_epochs: many"),
    "a list for a number": CONFIG.replace("max_epochs: 1", "max_epochs: [1]"),
    "a negative size": CONFIG.replace("hidden_dim: 4", "hidden_dim: -4"),
    "a list for arguments": CONFIG.replace("{embedding_dim: 4, hidden_dim: 4}", "[4, 4]"),
    "a number for a model": "model: 3\n",
    "a list for a model": "model: [1, 2]\n",
    "an unknown model": CONFIG.replace("LSTMClassifier", "LSTMClassifiers"),
    "unknown data": CONFIG.replace("TextFiles", "Textfile"),
    "a list for the trainer": "trainer: [1]\n",
    "a word for the seed": f"{CONFIG}seed_everything: x\n",
    "a list for a file": CONFIG.replace("train: ../good/a.csv", "train: [1]"),
    "an absent callback": CONFIG.replace("max_epochs", "callbacks: [a.B], max_epochs"),
    "an absent checkpoint": f"{CONFIG}ckpt_path: absent.ckpt\n",
    "an absent start": f"{CONFIG}init_from: absent.ckpt\n",
    "an absent scheduler": CONFIG.replace("hidden_dim: 4", "hidden_dim: 4, scheduler: Absent"),
    **{f"truncated at {part}": CONFIG[: int(part * len(CONFIG))] for part in (0.2, 0.4, 0.6, 0.7)},
}  # fmt: skip


def test_a_good_config_is_accepted(folder):
    Path("../run.yaml").write_text(CONFIG)
    assert run("fit", "-c", "../run.yaml", "--trainer.default_root_dir=../config") == (0, [])


@pytest.mark.parametrize("case", CONFIGS)
def test_an_invalid_config_is_refused(case, folder):
    (folder / "bad.yaml").write_text(CONFIGS[case])
    with refused() as result:
        result.status, result.lines = run("fit", "-c", folder / "bad.yaml")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"model: \xff\n", noise(1000)(b""), gzip.compress(b"a", mtime=0)]
)
def test_a_binary_config_is_refused(content, folder):
    (folder / "bad.yaml").write_bytes(content)
    with refused() as result:
        result.status, result.lines = run("fit", "-c", folder / "bad.yaml")


@pytest.mark.parametrize("config", ["absent.yaml", ".", ""])
def test_a_missing_config_is_refused(config, folder):
    with refused() as result:
        result.status, result.lines = run("fit", f"--config={config}")
